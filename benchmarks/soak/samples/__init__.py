"""Samples of all processes and tables, and whether something grows."""
