"""The local stack: embedded servers, its lock, and `make run` as a user starts it."""
