"""Rows of site visits and of the app's reports."""
