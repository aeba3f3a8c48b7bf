"""The description of event streams."""
