"""Uploads by every route."""
