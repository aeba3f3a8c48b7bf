"""The table of `make interop`: every client behind every proxy through every fault."""
