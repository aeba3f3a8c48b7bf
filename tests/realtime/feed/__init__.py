"""Where events come from, and what breaks on the way."""
