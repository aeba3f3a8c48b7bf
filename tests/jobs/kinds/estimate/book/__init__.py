"""How lines find their items in the price book."""
