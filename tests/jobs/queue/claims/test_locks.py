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
    "tenant": "SELECT FROM tenants WHERE id IN (SELECT tenant_id FROM site_visits WHERE id = ANY ($1)) FOR UPDATE",
}
EACH_ROW = pytest.mark.parametrize("row", ["job", "visit", "stream"])


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


async def test_a_completion_that_others_are_told_of_waits_for_no_tenant(bench: Bench, services: Services) -> None:
    """A transaction that holds the tenant's row, as one that deletes it does, holds up no completion of a batch."""
    leases = [await bench.running() for _ in range(2)]
    row = await bench.row(leases[0].job_id)
    assert row is not None
    told = {"event": "estimate_generated", "properties": {}}
    async with asyncio.timeout(SECONDS), held(services, "tenant", row["visit_id"]), bench.service.as_system() as conn:
        answers = await jobs.complete_many(conn, [Done(lease, {}, told) for lease in leases])
    assert set(answers.values()) == {"completed"}


async def test_a_sweep_that_keeps_what_a_cancelled_job_cost_waits_for_no_tenant(
    bench: Bench, services: Services
) -> None:
    """Its checkpoints go, and their cost is kept, while the tenant's row is held."""
    lease = await bench.running()
    async with bench.service.as_system() as conn:
        await jobs.put_checkpoint(conn, lease, "look", "", {"calls": [{"cost": "0.01"}]})
    await bench.cancel(lease.job_id)
    await bench.expire(lease)
    row = await bench.row(lease.job_id)
    assert row is not None
    async with asyncio.timeout(SECONDS), held(services, "tenant", row["visit_id"]):
        assert (await bench.sweep())["cancelled"] == 1
    spent = "SELECT cost::text FROM cancelled_spending WHERE job_id = $1"
    assert await bench.admin.fetchval(spent, lease.job_id) == "0.010000"


async def test_a_sweep_passes_by_a_silent_job_whose_visit_is_held(bench: Bench, services: Services) -> None:
    """Its dead letter has a key to the visit; all others are freed meanwhile."""
    visit = await bench.visit()
    await bench.admin.execute(
        "INSERT INTO jobs (job_type, tenant_id, visit_id) VALUES ('photo_jpegs', $1, $2)", bench.tenant.id, visit
    )
    async with bench.service.as_system() as conn:
        await jobs.claim_background(conn, {"photo_jpegs": 1}, "bench", timedelta(minutes=1))
    other = await bench.running()
    await bench.admin.execute(
        "UPDATE jobs SET lease_expires_at = now() - interval '1 s', lost_leases = 2 WHERE status = 'running'"
    )
    async with asyncio.timeout(SECONDS), held(services, "visit", visit):
        assert (await bench.sweep())["dead"] == 1
    assert len(await bench.dead(other.job_id)) == 1
    assert (await bench.sweep())["dead"] == 1
