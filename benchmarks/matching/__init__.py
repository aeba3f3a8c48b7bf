"""Trains and measures the choice of the price book's item for a line."""
