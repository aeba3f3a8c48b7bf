"""The event bus, its leader and its entries."""
