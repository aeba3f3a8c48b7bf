"""Mail: what waits to be sent, its words, and the way to the SMTP server."""
