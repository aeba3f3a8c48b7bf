"""Claims, order, retries and dead letters in the database."""
