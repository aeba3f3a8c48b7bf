"""Share links from both ends."""
