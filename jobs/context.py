"""What a running job may ask of the worker that runs it: the one seam between the queue and the work.

The queue implements this with a leased row of `ai_jobs`; every write behind it is fenced by the lease token, so
a worker that lost its job can no longer change anything. Work (`jobs.estimate`) sees only this protocol.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

Json: TypeAlias = Mapping[str, Any]
Writes: TypeAlias = Callable[["Connection"], Awaitable[None]]


class JobContext(Protocol):
    """One attempt at one job.

    Every method may raise the queue's "lease lost" error, which the work must let pass.
    """

    @property
    def job_id(self) -> UUID:
        """The row of `ai_jobs`."""

    @property
    def visit_id(self) -> UUID:
        """The visit the job works on."""

    @property
    def tenant_id(self) -> UUID:
        """The tenant the visit belongs to."""

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""

    async def checkpoint_get(self, step: str, key: str) -> dict[str, Any] | None:
        """Read what an earlier attempt stored under (step, key), or None."""

    async def checkpoint_put(self, step: str, key: str, value: Json) -> None:
        """Store a JSON value under (step, key); a second put replaces the first."""

    async def event(self, event_type: str, payload: Json) -> None:
        """Tell the visit's subscribers; progress events may be written in small batches, in order."""

    def raise_if_cancelled(self) -> None:
        """Raise the queue's cancellation error when somebody asked for the job to stop."""

    async def complete(self, result: Json, writes: Writes) -> None:
        """Run `writes`, store the result, the final event and the analytics in one fenced transaction.

        `result` may carry `analytics: {event, properties}`: written to `analytics_events`, not to the job.
        """
