"""Amounts in a clause."""
