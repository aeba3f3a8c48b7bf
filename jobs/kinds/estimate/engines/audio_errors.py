"""Errors shared by every module that opens recordings."""

RATE = 16_000
# Naming the container keeps FFmpeg from formats that reach for further files.
CONTAINERS = {"audio/webm": "matroska", "audio/mp4": "mp4", "audio/aac": "aac", "audio/mpeg": "mp3"}
# The bases of FFmpeg's errors; a file that ends before it begins is an EOFError.
FAULTS = (OSError, ValueError, EOFError)


class AudioError(Exception):
    """The recording cannot be used; the message is for the contractor."""
