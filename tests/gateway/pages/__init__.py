"""The console's files as a browser loads them."""
