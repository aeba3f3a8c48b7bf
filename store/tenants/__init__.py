"""Tenants: their settings, feature flags and branding."""
