"""Where events come from: LISTEN, polling, and catching up from the table."""
