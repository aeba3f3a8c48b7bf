"""Photos and recordings on their way in: direct, resumable, presigned, in chunks."""
