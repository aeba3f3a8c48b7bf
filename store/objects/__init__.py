"""The S3 store: uploads, downloads, content types, checksums."""
