"""The documents, and the commands that generate their reference pages."""
