"""Rows of share links, their views and decisions."""
