"""Shared by every route: bodies in, problems out, rate limits, request metrics and traces."""
