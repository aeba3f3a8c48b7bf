"""Estimates and their edits, and the price book."""
