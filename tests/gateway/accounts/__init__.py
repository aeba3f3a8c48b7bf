"""Tokens and the cache of what they were read as."""
