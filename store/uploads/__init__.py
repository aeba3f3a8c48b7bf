"""Resumable uploads and a tenant's storage quota."""
