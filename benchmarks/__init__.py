"""Measurements, each a ratio or a table from one run; never a test."""
