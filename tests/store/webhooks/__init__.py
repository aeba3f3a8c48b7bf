"""Webhooks: the guard of the way out."""
