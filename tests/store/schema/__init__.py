"""The schema, its migrations and its row-level security."""
