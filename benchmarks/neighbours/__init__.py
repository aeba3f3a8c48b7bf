"""One busy tenant beside a quiet one: `python -m benchmarks.neighbours`."""
