"""Who is asking: tokens, their keys, and the principal that a request acts for."""
