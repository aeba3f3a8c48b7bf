"""Photos and recordings: rows, derivatives, decoding, cleanup."""
