"""Tenants, their feature flags and brands."""
