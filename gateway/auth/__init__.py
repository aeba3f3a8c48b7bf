"""The caller's identity: tokens, their keys, and the principal that a request acts for."""
