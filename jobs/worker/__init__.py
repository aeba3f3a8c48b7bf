"""The worker process: claims jobs, runs them under leases and records their outcomes."""
