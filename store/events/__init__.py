"""Processing events, the bus's position and stream tickets."""
