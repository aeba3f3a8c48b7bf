"""The lanes of one worker: the slots of the work that people wait for, and those of each background kind."""

from collections.abc import Mapping
from uuid import UUID

from jobs.queue.kind import AI
from jobs.worker.attempts.attempt import JobAttempt
from jobs.worker.executor import Executor


class Lanes:
    """All executors of one process, by lane."""

    def __init__(self, ai: Executor, background: Mapping[str, Executor]) -> None:
        self._ai = ai
        self._all = {AI: ai, **background}

    @property
    def runs(self) -> list[JobAttempt]:
        """Return all jobs that are ours at the moment."""
        return [run for executor in self._all.values() for run in executor.runs]

    def wake(self, lane: str = "") -> None:
        """Look for jobs of a lane now; without a name, of all."""
        for name, executor in self._all.items():
            if lane in ("", name):
                executor.wake()

    def cancel(self, job_id: UUID) -> None:
        """Stop the attempt at this job, if it is one of ours. A job that is not yet here is taken for AI work."""
        holder = next((executor for executor in self._all.values() if executor.holds(job_id)), self._ai)
        holder.cancel(job_id)
