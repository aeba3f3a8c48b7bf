"""Limits in one process."""
