"""The API document, and fuzzing by it."""
