"""The queue's front door for the gateway."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from config.settings import Settings
from config.tracing import trace_context
from jobs.wakeup.notifier import Doorbell
from jobs.wakeup.redis_client import open_redis
from store.pool import Connection
from store.queue import jobs


class JobQueue:
    """Queues jobs in the caller's own transaction and rings for workers after it."""

    def __init__(self, doorbell: Doorbell) -> None:
        self._doorbell = doorbell

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Open the queue; Redis may be away, then and later."""
        doorbell = Doorbell(open_redis(str(settings.redis_url)))
        try:
            yield cls(doorbell)
        finally:
            await doorbell.close()

    async def enqueue(  # noqa: PLR0913 - the columns of a job, by name
        self,
        conn: Connection,
        *,
        tenant_id: UUID,
        visit_id: UUID,
        job_type: str = "estimate",
        payload: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        correlation_id: str | None = None,
        created_by: UUID | None = None,
        priority: int = 0,
        run_at: datetime | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """Queue a job inside the caller's transaction; returns (status, whether it is new). Then `ring` after commit.

        The same key gives the first job. A higher `priority` goes before everybody's lower ones; a tenant's own request
        may only go behind (below 0). `run_at` is when it is due, null or past: at once. Raises `Conflict` with `job_id`
        when the visit has another active job.
        """
        job = jobs.NewJob(
            *(tenant_id, visit_id, job_type, payload or {}, idempotency_key, correlation_id, created_by),
            priority=priority,
            run_at=run_at,
            trace_context=trace_context(),
        )
        return await jobs.enqueue(conn, job)

    async def ring(self) -> None:
        """Wake a worker after the commit: best effort, at most 50 ms, never raises."""
        await self._doorbell.ring()

    async def status(self, conn: Connection, job_id: UUID) -> dict[str, Any]:
        """Return a job's status, dead-lettered ones too. Raises `NotFound`."""
        return await jobs.status(conn, job_id)

    async def cancel(self, conn: Connection, job_id: UUID) -> dict[str, Any]:
        """Cancel a queued job, ask a running one to stop; a finished one stays. Raises `NotFound`."""
        return await jobs.cancel(conn, job_id)
