"""The estimate as a kind of job: the one that people wait for, and that a visit's stream is about."""

from jobs.kinds.estimate.pipeline import open_estimate
from jobs.queue.kind import Kind, UniqueBy

ESTIMATE = Kind("estimate", open_estimate, waited_for=True, speaks=True, ends_stream=True, unique_by=UniqueBy.VISIT)
