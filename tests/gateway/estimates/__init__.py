"""Estimates and the price book over HTTP."""
