"""Rows, SQL, objects, migrations: the only place that talks to Postgres tables and S3 keys."""
