"""The checker under faults: nothing lost, doubled or out of order, whatever breaks."""
