"""The local stack: PostgreSQL, Valkey and an S3 store as real servers out of wheels, for laptops and tests."""
