"""A transaction elsewhere may hold any row for as long as it likes: all other jobs go on as if it were not there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from jobs.queue.context import JobContext
from store.queue import jobs
from store.queue.jobs import Done
from tests.jobs.conftest import Bench, Working
from tests.stack import Services

# Far above what any of this takes, far below what waiting for a lock would.
SECONDS = 5.0
ROWS = {
    "job": "SELECT FROM jobs WHERE visit_id = ANY ($1) FOR UPDATE",
    "visit": "SELECT FROM site_visits WHERE id = ANY ($1) FOR UPDATE",
    "stream": "SELECT FROM visit_streams WHERE visit_id = ANY ($1) FOR UPDATE",
}
EACH_ROW = pytest.mark.parametrize("row", sorted(ROWS))


@asynccontextmanager
async def held(services: Services, row: str, *visits: UUID) -> AsyncIterator[None]:
    """Hold a row of each visit in a transaction of another session."""
    connection = await asyncpg.connect(services.admin_url)
    try:
        async with connection.transaction():
            await connection.fetch(ROWS[row], visits)
            yield
    finally:
        await connection.close()


async def noop(ctx: JobContext) -> None:
    """Complete at once, with an empty result."""
    await ctx.complete({})


@EACH_ROW
async def test_a_claim_passes_by_what_is_held(bench: Bench, services: Services, row: str) -> None:
    """Twelve visits at the front of the line are held, more than the claim asks for: it starts the next ones."""
    front = [await bench.visit() for _ in range(12)]
    for visit in front:
        await bench.enqueue(visit=visit)
    behind = [await bench.enqueue() for _ in range(3)]
    async with asyncio.timeout(SECONDS), held(services, row, *front):
        claimed = {found["id"] for found in await bench.claim(2)} | {found["id"] for found in await bench.claim(2)}
    expected = set(behind) if row != "visit" else None  # a claim writes nothing to a visit
    assert claimed == expected or (expected is None and len(claimed) == 4)
    assert len(await bench.claim(100)) == 15 - len(claimed)


@EACH_ROW
async def test_a_completion_waits_for_itself_alone(bench: Bench, services: Services, row: str) -> None:
    """Of a batch all are completed but the one that is held, which is when it is free."""
    leases = [await bench.running() for _ in range(3)]
    rows = [await bench.row(lease.job_id) for lease in leases]
    visit = rows[1]["visit_id"]  # type: ignore[index]
    async with asyncio.timeout(SECONDS), held(services, row, visit), bench.service.as_system() as conn:
        answers = await jobs.complete_many(conn, [Done(lease, {}, None) for lease in leases])
    assert [answers[lease] for lease in leases] == ["completed", "busy", "completed"]
    async with bench.service.as_system() as conn:
        assert (await jobs.complete_many(conn, [Done(leases[1], {}, None)])) == {leases[1]: "completed"}


@EACH_ROW
async def test_a_sweep_frees_all_others(bench: Bench, services: Services, row: str) -> None:
    """The lease of a visit that is held waits for the next sweep; it keeps none back."""
    leases = [await bench.running() for _ in range(4)]
    for lease in leases:
        await bench.expire(lease)
    first = await bench.row(leases[0].job_id)
    assert first is not None
    async with asyncio.timeout(SECONDS), held(services, row, first["visit_id"]):
        assert (await bench.sweep())["requeued"] == 3
    assert (await bench.sweep())["requeued"] == 1


async def test_renewals_wait_for_nobody(bench: Bench, services: Services) -> None:
    """A lease whose row is held is still ours."""
    leases = [await bench.running() for _ in range(2)]
    first = await bench.row(leases[0].job_id)
    assert first is not None
    async with asyncio.timeout(SECONDS), held(services, "job", first["visit_id"]), bench.service.as_system() as conn:
        assert set(await jobs.renew(conn, leases, timedelta(minutes=1))) == {lease.job_id for lease in leases}


@EACH_ROW
async def test_a_worker_goes_on_and_comes_back_to_it(
    bench: Bench, services: Services, working: Working, row: str
) -> None:
    """With one slot: all other visits' jobs are done while one is held, and that one once it is free."""
    visit = await bench.visit()
    stuck = await bench.enqueue("noop", visit=visit)
    async with working({"noop": noop}, worker_concurrency=1):
        async with held(services, row, visit):
            for job in [await bench.enqueue("noop") for _ in range(5)]:
                await bench.until(job, "job.completed", seconds=SECONDS)
        await bench.until(stuck, "job.completed")
