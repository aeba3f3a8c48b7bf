"""The client packages."""
