"""Uploads that resume, and what a tenant may store."""
