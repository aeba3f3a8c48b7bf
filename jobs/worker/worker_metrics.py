"""A worker's metrics: how attempts ended, how long jobs took and waited, and the jobs it holds at the moment."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from store.pool import Record

# 60 is the line of the processing SLO: a bound must stand on it.
_SECONDS = (1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0)
_WAITS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)


class Outcome(StrEnum):
    """How an attempt ended, as the queue has it."""

    COMPLETED = "completed"
    RETRIED = "retried"
    RELEASED = "released"
    CANCELLED = "cancelled"
    DEAD_LETTER = "dead_letter"
    LOST = "lost"
    UNRECORDED = "unrecorded"


class WorkerMetrics:
    """The counts of one worker; its job types are counted from 0, so that the first failure shows as a rise."""

    def __init__(self, registry: "CollectorRegistry", job_types: Iterable[str]) -> None:
        self._attempts = Counter(
            "scopekit_job_attempts",
            "Attempts at jobs that have ended, by outcome.",
            ["job_type", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "scopekit_job_seconds",
            "From an attempt's start to the job's completion.",
            ["job_type"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._waits = Histogram(
            "scopekit_job_wait_seconds",
            "From the time a job was due to its start.",
            ["job_type"],
            buckets=_WAITS,
            registry=registry,
        )
        self._expired = Counter("scopekit_leases_expired", "Leases of workers that are gone.", registry=registry)
        self._running = Gauge("scopekit_worker_jobs_running", "Attempts under way in this worker.", registry=registry)
        self._slots = Gauge("scopekit_worker_slots", "Jobs this worker runs at once.", registry=registry)
        # Finding a labelled child costs ten times what counting does.
        self._count_of = cache(self._attempts.labels)
        self._time_of = cache(self._seconds.labels)
        self._wait_of = cache(self._waits.labels)
        for job_type in job_types:
            self._time_of(job_type)
            self._wait_of(job_type)
            for outcome in Outcome:
                self._count_of(job_type, outcome)

    def set_slots(self, slots: int, running: Callable[[], float]) -> None:
        """Set how many slots there are, and the function that counts the taken ones."""
        self._slots.set(slots)
        self._running.set_function(running)

    def started(self, row: "Record") -> None:
        """Count a claim; both times are the database's."""
        waited = (row["started_at"] - row["run_at"]).total_seconds()
        self._wait_of(row["job_type"]).observe(max(0.0, waited))

    def ended(self, row: "Record", outcome: Outcome) -> None:
        """Count the end of an attempt."""
        self._count_of(row["job_type"], outcome).inc()
        if outcome is Outcome.COMPLETED:
            took = (datetime.now(UTC) - row["started_at"]).total_seconds()
            self._time_of(row["job_type"]).observe(max(0.0, took))

    def expired(self, count: int) -> None:
        """Count leases that were freed."""
        self._expired.inc(count)
