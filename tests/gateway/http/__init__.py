"""Bodies, headers and errors that all routes share."""
