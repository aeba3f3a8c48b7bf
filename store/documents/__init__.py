"""The estimate as a document: its values, its PDF, its certificate and its colours. No rows."""
