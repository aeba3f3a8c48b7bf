"""The contractor's console and the demo pages."""
