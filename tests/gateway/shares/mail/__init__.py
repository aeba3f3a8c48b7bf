"""A share's link by mail."""
