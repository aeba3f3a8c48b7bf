"""Errors shared by every module that opens recordings."""

RATE = 16_000


class AudioError(Exception):
    """The recording cannot be used; the message is for the contractor."""
