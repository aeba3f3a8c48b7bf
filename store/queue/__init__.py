"""Rows of jobs, dead letters, the outbox and the queue's switches."""
