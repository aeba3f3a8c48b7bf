"""Identity providers, against a certified one and a double."""
