"""A kind of job: what its jobs are about, where they run, and how they are tried again. Values alone.

Invariants: a kind that speaks is of a visit; one that ends its visit's stream speaks; each background kind has slots of
its own in every worker, so no kind's jobs wait behind another's.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

from config.settings import Settings
from jobs.queue.context import JobContext
from jobs.queue.retry import CAP_SECONDS
from store.pool import Database

Task: TypeAlias = Callable[[JobContext], Awaitable[None]]
# Opens what the task needs for as long as the worker lives; lends None where this worker does not do such jobs.
OpenTask: TypeAlias = Callable[[Settings, Database], AbstractAsyncContextManager[Task | None]]

# The lane of work that people wait for; the runbook's ai_jobs are its jobs.
AI = "ai"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Subject(StrEnum):
    """What a job is about."""

    VISIT = "visit"
    TENANT = "tenant"
    NONE = "none"


class UniqueBy(StrEnum):
    """Of what there is one active job of a kind at a time."""

    VISIT = "visit"
    TENANT = "tenant"
    KIND = "kind"
    KEY = "key"  # the job's own `unique_key`


@dataclass(frozen=True)
class Kind:
    """What the queue and the worker know of a job type.

    `share` is the part of WORKER_CONCURRENCY that a background kind has for slots, at least one. `retry_cap_s` is the
    longest wait between two tries, which double from a second on. `timeout` is of one attempt. A kind with an
    `every` is queued by the clock, at each whole multiple of it from `since` on.
    """

    name: str
    opens: OpenTask
    subject: Subject = Subject.VISIT
    waited_for: bool = False
    speaks: bool = False
    ends_stream: bool = False
    unique_by: UniqueBy | None = None
    share: float = 0.5
    timeout: timedelta | None = None
    max_attempts: int | None = None
    retry_cap_s: float = CAP_SECONDS
    retention: timedelta = timedelta(days=30)
    every: timedelta | None = None
    since: datetime = EPOCH

    def __post_init__(self) -> None:
        """Raise ValueError for what the database would refuse."""
        if (self.speaks and self.subject is not Subject.VISIT) or (self.ends_stream and not self.speaks):
            raise ValueError(f"the kind {self.name} cannot speak on a visit's stream")

    @property
    def lane(self) -> str:
        """Where its jobs stand in line."""
        return AI if self.waited_for else self.name

    def slots(self, concurrency: int) -> int:
        """Return how many of its jobs one worker runs at once, for a background kind."""
        return max(1, round(self.share * concurrency))

    def as_row(self) -> dict[str, Any]:
        """Return what the database knows of it: a row of `job_kinds`."""
        return {
            "name": self.name,
            "subject": self.subject,
            "lane": self.lane,
            "speaks": self.speaks,
            "ends_stream": self.ends_stream,
            "unique_by": self.unique_by,
            "max_attempts": self.max_attempts,
            "retention": f"{self.retention.total_seconds():.0f} seconds",
        }

    def as_tick(self) -> dict[str, Any]:
        """Return what the clock of the database needs of a periodic kind."""
        assert self.every is not None  # noqa: S101 - asked of periodic kinds alone
        return {
            "name": self.name,
            "every": f"{self.every.total_seconds():.0f} seconds",
            "since": self.since.isoformat(),
        }


def plain(task: Task) -> OpenTask:
    """Open a task that needs nothing."""

    @asynccontextmanager
    async def open_task(_settings: Settings, _db: Database) -> AsyncIterator[Task]:
        yield task

    return open_task


def unknown(name: str) -> Kind:
    """Return what the queue takes a job type for that no kind is registered for."""
    return Kind(name, _nothing, waited_for=True, speaks=True, unique_by=UniqueBy.VISIT)


def by_name(kinds: tuple[Kind, ...]) -> Mapping[str, Kind]:
    """Return kinds by their names. Raises ValueError where two have the same."""
    named = {kind.name: kind for kind in kinds}
    if len(named) < len(kinds):
        raise ValueError("two kinds of jobs have the same name")
    return named


@asynccontextmanager
async def _nothing(_settings: Settings, _db: Database) -> AsyncIterator[None]:
    yield None
