"""Wakes workers: the doorbell through arq and the control channel of PostgreSQL."""
