"""Tenants and their flags."""
