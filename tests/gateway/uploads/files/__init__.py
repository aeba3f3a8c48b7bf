"""Files to upload: real ones, damaged ones, and tests of how they are opened."""
