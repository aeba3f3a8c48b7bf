"""Values of a request."""
