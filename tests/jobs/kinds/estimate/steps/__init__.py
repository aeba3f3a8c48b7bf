"""The steps of an estimate."""
