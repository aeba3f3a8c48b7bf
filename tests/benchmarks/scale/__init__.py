"""The model of large fleets: its arithmetic, and its queues."""
