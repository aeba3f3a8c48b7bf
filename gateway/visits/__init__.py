"""Site visits, their jobs, and the trigger of the queue."""
