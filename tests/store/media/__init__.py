"""Opening photos and recordings."""
