"""The engine of OpenAI-compatible endpoints."""
