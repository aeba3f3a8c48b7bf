"""Clauses of a passage: where each begins and ends, and whether it asks for work."""
