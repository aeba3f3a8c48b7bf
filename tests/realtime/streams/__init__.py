"""Streams as clients ask for them."""
