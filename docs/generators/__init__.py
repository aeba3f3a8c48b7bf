"""The sources of each generated page of the reference."""
