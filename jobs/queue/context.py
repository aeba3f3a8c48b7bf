"""A running job's interface to its worker: the one seam between the queue and the work.

The queue implements this with a leased row of `jobs`; every write behind it is fenced by the lease token, so
a worker that lost its job can no longer change anything. Work (`jobs.kinds.estimate`) sees only this protocol.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from uuid import UUID

    from store.pool import Connection

Json: TypeAlias = Mapping[str, Any]
# What the writes return is laid over the result: ids and versions exist only once the rows do.
Writes: TypeAlias = Callable[["Connection"], Awaitable["Json | None"]]


class JobContext(Protocol):
    """One attempt at one job.

    Every method may raise the queue's "lease lost" error, which the work must let pass.
    """

    @property
    def job_id(self) -> UUID:
        """The job's row."""

    @property
    def visit_id(self) -> UUID:
        """The visit the job works on; only jobs of a kind whose subject is a visit have one."""

    @property
    def tenant_id(self) -> UUID:
        """The tenant of the visit, or of the job; jobs of no subject have none."""

    @property
    def payload(self) -> Json:
        """What the job was queued with."""

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""

    async def checkpoint_get(self, step: str, key: str) -> dict[str, Any] | None:
        """Read the value that an earlier attempt stored under (step, key), or None."""

    async def checkpoint_put(self, step: str, key: str, value: Json, writes: Writes | None = None) -> None:
        """Store a JSON value under (step, key) and run `writes`, in one fenced transaction; a second put replaces it.

        `writes` keeps what must outlive the job even if the job fails later.
        """

    async def event(self, event_type: str, payload: Json) -> None:
        """Tell the visit's subscribers; progress events may be written in small batches, in order."""

    def raise_if_cancelled(self) -> None:
        """Raise the queue's cancellation error when somebody asked for the job to stop."""

    async def complete(self, result: Json, writes: Writes | None = None) -> None:
        """Run `writes`, then store result, final event and analytics, all in one fenced transaction.

        The stored result, which is also the payload of `job.completed`, is `result` with the fields that `writes` gave
        laid over it. A key `analytics` = {event, properties} is taken out of it and written to `analytics_events`.
        """
