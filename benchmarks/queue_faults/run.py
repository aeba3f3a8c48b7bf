"""One run: what it asked of the queue, and what it was promised."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4

from benchmarks.queue_faults.rig import Rig
from store.errors import Conflict
from store.pool import AWAY
from store.queue import dead_letters

if TYPE_CHECKING:
    from store.pool import Record

T = TypeVar("T")

POLL_SECONDS = 0.02
ANSWER_SECONDS = 60.0
HEAL_SECONDS = 90.0
VISITS = 3

UNFINISHED = (
    "SELECT id, job_type, status, worker, attempts FROM ai_jobs WHERE visit_id = ANY ($1) AND finished_at IS NULL"
)


class Run:
    """A client of the queue that repeats what was not answered, and remembers what was."""

    def __init__(self, rig: Rig, visits: list[UUID]) -> None:
        self.rig = rig
        self.visits = visits
        self.accepted: set[UUID] = set()
        self.cancelled: set[UUID] = set()  # a cancel was accepted before the job was final
        # Over a crash of the database a visit's numbers leap; over one of the run before, those of an empty stream.
        self.may_leap, rig.torn = rig.torn, False

    @classmethod
    async def begin(cls, rig: Rig) -> "Run":
        """Make the visits of a run."""
        async with rig.eyes() as conn:
            rows = await conn.fetch(
                "INSERT INTO site_visits (tenant_id) SELECT $1 FROM generate_series(1, $2) RETURNING id",
                *(rig.tenant.id, VISITS),
            )
        return cls(rig, [row["id"] for row in rows])

    async def enqueue(self, job_type: str, visit: int = 0) -> UUID:
        """Queue a job as the gateway does, with one key however often it takes, and ring; or return the active one."""
        key = str(uuid4())

        async def ask() -> UUID:
            async with self.rig.gateway.as_user(self.rig.tenant.claims) as conn:
                job, _ = await self.rig.queue.enqueue(
                    *(conn,),
                    tenant_id=self.rig.tenant.id,
                    visit_id=self.visits[visit],
                    job_type=job_type,
                    idempotency_key=key,
                )
            return UUID(str(job["id"]))

        try:
            job_id = await _answered(ask)
        except Conflict as conflict:
            return UUID(str(conflict.extra["job_id"]))
        self.accepted.add(job_id)
        await self.rig.queue.ring()
        return job_id

    async def cancel(self, job_id: UUID) -> None:
        """Cancel a job as its tenant, and remember when that was accepted."""

        async def ask() -> dict[str, Any]:
            async with self.rig.gateway.as_user(self.rig.tenant.claims) as conn:
                return await self.rig.queue.cancel(conn, job_id)

        status = await _answered(ask)
        if status["status"] == "cancelled" or status["cancel_requested"]:
            self.cancelled.add(job_id)

    async def redrive(self, dead_letter: UUID) -> UUID | None:
        """Queue a dead job again; None when its visit has another by now."""

        async def ask() -> UUID:
            async with self.rig.system.as_system() as conn:
                return await dead_letters.retry(conn, dead_letter, "a fault")

        try:
            return await _answered(ask)
        except Conflict:
            return None

    async def dead_letters(self) -> list[UUID]:
        """Return the waiting dead letters of this run."""

        async def ask() -> list[UUID]:
            async with self.rig.eyes() as conn:
                rows = await conn.fetch(
                    "SELECT id FROM ai_jobs_dlq WHERE visit_id = ANY ($1) AND retried_at IS NULL", self.visits
                )
            return [row["id"] for row in rows]

        return await _answered(ask)

    async def running(self, job_id: UUID) -> str | None:
        """Wait until the job runs and return its worker's name; None when it is past that."""
        async with asyncio.timeout(HEAL_SECONDS):
            while True:
                found = {row["id"]: row for row in await self.unfinished()}
                if job_id not in found:
                    return None
                if found[job_id]["status"] == "running":
                    return str(found[job_id]["worker"])
                await asyncio.sleep(POLL_SECONDS)

    async def settled(self) -> None:
        """Wait until every job of the run is final. Raises TimeoutError."""
        async with asyncio.timeout(HEAL_SECONDS):
            while await self.unfinished():  # noqa: ASYNC110 - other processes send no signal
                await asyncio.sleep(POLL_SECONDS)

    async def unfinished(self) -> "list[Record]":
        """Return the run's jobs that are not final."""

        async def ask() -> "list[Record]":
            async with self.rig.eyes() as conn:
                return await conn.fetch(UNFINISHED, self.visits)

        return await _answered(ask)


async def _answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer, as a client does whose server is away for a moment."""
    async with asyncio.timeout(ANSWER_SECONDS):
        while True:
            try:
                return await ask()
            except AWAY:
                await asyncio.sleep(POLL_SECONDS * 2)
