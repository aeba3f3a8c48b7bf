"""The queue, on a real PostgreSQL and a real Valkey."""
