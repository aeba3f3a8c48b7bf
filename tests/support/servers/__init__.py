"""Servers that a test plays on loopback, and what stands before them."""
