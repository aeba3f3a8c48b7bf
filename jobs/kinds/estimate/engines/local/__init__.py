"""The local engine: packaged models for speech and print, and rules."""
