"""Rows for operators: health, presence, usage, secret rotations, maintenance."""
