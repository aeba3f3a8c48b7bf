"""Clients that others generate from the public document, and the linters that judge it."""
