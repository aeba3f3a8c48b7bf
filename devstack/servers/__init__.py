"""The embedded servers: PostgreSQL, Valkey and the S3 store, and how their processes are started."""
