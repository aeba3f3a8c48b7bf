"""Tests of each kind of work."""
