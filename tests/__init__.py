"""The suite: real Postgres, Valkey, S3 and Chromium; nothing of ours is mocked."""
