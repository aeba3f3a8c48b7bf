"""What the queue's suites share: visits, jobs in any state, and workers with the test's own tasks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import pytest

from config.settings import Settings
from jobs.kinds.registry import KINDS
from jobs.queue.intervals import Intervals
from jobs.queue.kind import Kind, Task
from jobs.queue.queue import JobQueue
from jobs.worker.worker import Worker
from store.pool import Database, Record
from store.queue import jobs
from store.queue.jobs import Lease
from tests.stack import Services, make_services, xdist_worker
from tests.tenants import Tenant, make_tenant

if TYPE_CHECKING:
    import asyncpg

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

MINUTE = timedelta(minutes=1)
DEADLINE_SECONDS = 15.0


@pytest.fixture(scope="session")
def services(stack: Any, request: pytest.FixtureRequest) -> Services:
    """Give the queue a database of its own: a claim takes whatever is due, whoever's it is."""
    number = xdist_worker(request.config, alone="gw0").removeprefix("gw")
    # Redis numbers 0 to 7 are the other suites'.
    return asyncio.run(make_services(stack, f"gw{8 + int(number)}"))


@pytest.fixture(autouse=True)
async def empty_queue(admin: Admin) -> None:
    """Start with nothing due: what an earlier test left must not be claimed by this one."""
    await admin.execute("DELETE FROM jobs; DELETE FROM queue_control")


@dataclass
class Bench:
    """One tenant's hands on the queue, and the owner's eyes on the tables."""

    admin: Admin
    db: Database
    service: Database
    queue: JobQueue
    tenant: Tenant

    async def visit(self, *, notes: str = "Replace two doors.") -> UUID:
        """Make a visit."""
        visit_id: UUID = await self.admin.fetchval(
            "INSERT INTO site_visits (tenant_id, notes) VALUES ($1, $2) RETURNING id", self.tenant.id, notes
        )
        return visit_id

    async def enqueue(self, job_type: str = "estimate", *, visit: UUID | None = None, **more: Any) -> UUID:
        """Queue a job as the gateway does, without ringing."""
        visit_id = visit or await self.visit()
        async with self.db.as_user(self.tenant.claims) as conn:
            job, _ = await self.queue.enqueue(
                conn, tenant_id=self.tenant.id, visit_id=visit_id, job_type=job_type, **more
            )
        return UUID(str(job["id"]))

    async def claim(self, limit: int = 1, *, lease: timedelta = MINUTE) -> list[Record]:
        """Claim as a worker does."""
        async with self.service.as_system() as conn:
            return await jobs.claim(conn, limit, "bench", lease)

    async def running(self, **more: Any) -> Lease:
        """Queue a job and claim it."""
        job_id = await self.enqueue(**more)
        row = next(row for row in await self.claim(100) if row["id"] == job_id)
        return Lease(row["id"], row["lease_token"])

    async def row(self, job_id: UUID) -> Record | None:
        """Return the job's row, None when it is gone."""
        return await self.admin.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)

    async def dead(self, job_id: UUID) -> list[Record]:
        """Return the job's dead letters."""
        return await self.admin.fetch("SELECT * FROM jobs_dlq WHERE original_job_id = $1 ORDER BY moved_at", job_id)

    async def events(self, job_id: UUID) -> list[str]:
        """Return the types of the job's events in order."""
        rows = await self.admin.fetch("SELECT type FROM processing_events WHERE job_id = $1 ORDER BY seq", job_id)
        return [row["type"] for row in rows]

    async def payload(self, job_id: UUID, event_type: str) -> dict[str, Any]:
        """Return the payload of the job's last event of a type."""
        payload: dict[str, Any] = await self.admin.fetchval(
            "SELECT payload FROM processing_events WHERE job_id = $1 AND type = $2 ORDER BY seq DESC LIMIT 1",
            job_id,
            event_type,
        )
        return payload

    async def status(self, job_id: UUID) -> dict[str, Any]:
        """Read the job's status as its tenant."""
        async with self.db.as_user(self.tenant.claims) as conn:
            return await self.queue.status(conn, job_id)

    async def cancel(self, job_id: UUID) -> dict[str, Any]:
        """Cancel the job as its tenant."""
        async with self.db.as_user(self.tenant.claims) as conn:
            return await self.queue.cancel(conn, job_id)

    async def expire(self, lease: Lease) -> None:
        """Let the lease have run out a moment ago."""
        await self.admin.execute(
            "UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE id = $1", lease.job_id
        )

    async def due(self, job_id: UUID) -> None:
        """Let the job's backoff be over."""
        await self.admin.execute("UPDATE jobs SET run_at = now() WHERE id = $1", job_id)

    async def sweep(self) -> dict[str, int]:
        """Sweep once."""
        async with self.service.as_system() as conn:
            return dict(await jobs.sweep(conn, 100))

    async def until(self, job_id: UUID, *types: str, seconds: float = DEADLINE_SECONDS) -> str:
        """Wait for the first event of one of these types and return which."""
        async with asyncio.timeout(seconds):
            async with self.watching(job_id) as changed:
                while True:
                    changed.clear()
                    for event_type in await self.events(job_id):
                        if event_type in types:
                            return event_type
                    await changed.wait()
        raise AssertionError  # pragma: no cover - the timeout raises

    @asynccontextmanager
    async def watching(self, job_id: UUID) -> AsyncIterator[asyncio.Event]:
        """Set an event whenever something is told about the job."""
        changed = asyncio.Event()

        def hear(_connection: Any, _pid: int, _channel: str, text: object) -> None:
            if str(job_id) in str(text):
                changed.set()

        await self.admin.add_listener("processing_events", hear)
        try:
            yield changed
        finally:
            await self.admin.remove_listener("processing_events", hear)


@pytest.fixture
async def queue(settings: Settings) -> AsyncIterator[JobQueue]:
    """Open the queue's front door."""
    async with JobQueue.open(settings) as queue:
        yield queue


@pytest.fixture
async def bench(admin: Admin, db: Database, service: Database, queue: JobQueue, tenant: Tenant) -> Bench:
    """Give the test a tenant at the queue."""
    return Bench(admin, db, service, queue, tenant)


@pytest.fixture
async def other(bench: Bench) -> Bench:
    """Give the test a second tenant at the same queue."""
    return Bench(bench.admin, bench.db, bench.service, bench.queue, await make_tenant(bench.admin))


Working: TypeAlias = Callable[..., AbstractAsyncContextManager[Worker]]


@pytest.fixture
def working(service: Database, settings: Settings) -> Working:
    """Run a worker with the test's own tasks in this process, and stop it on leaving."""

    @asynccontextmanager
    async def run(
        tasks: Mapping[str, Task],
        *,
        intervals: Intervals | None = None,
        kinds: tuple[Kind, ...] = KINDS,
        **changes: Any,
    ) -> AsyncIterator[Worker]:
        worker = Worker(service, tasks, settings.model_copy(update=changes), intervals, kinds)
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        try:
            yield worker
        finally:
            stop.set()
            async with asyncio.timeout(DEADLINE_SECONDS * 2):
                await running

    return run
