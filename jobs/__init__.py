"""The queue: the table of jobs is the truth, arq is the doorbell."""
