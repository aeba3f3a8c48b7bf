"""Waking workers."""
