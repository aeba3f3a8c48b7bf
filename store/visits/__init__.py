"""Rows of site visits and of what the app reports."""
