"""The database's schema and its migrations."""
