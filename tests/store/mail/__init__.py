"""The way to mail servers."""
