"""Files getting in, being looked at, and being seen again."""
