"""The queue: ai_jobs is the truth, arq is the doorbell."""
