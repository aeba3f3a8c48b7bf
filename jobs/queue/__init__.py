"""The front door of the queue: enqueueing, states, retries and errors of jobs."""
