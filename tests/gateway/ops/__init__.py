"""The operators' page, health and metrics."""
