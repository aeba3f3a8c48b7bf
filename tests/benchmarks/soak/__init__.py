"""The soak's own parts: what it says of a run must be right."""
