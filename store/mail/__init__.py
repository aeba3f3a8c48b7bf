"""Mail: its words, and the way to the SMTP server."""
