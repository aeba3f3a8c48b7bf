"""The sandbox around helper processes."""
