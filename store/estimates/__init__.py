"""Rows of estimates and of the price book; money and units."""
