"""One attempt at a job: its lease, its events, its flag, and how it ends."""
