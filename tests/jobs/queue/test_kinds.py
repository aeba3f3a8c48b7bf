"""Kinds of jobs: what a kind says is what its jobs do, and no kind's jobs stand in another's way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import httpx
import pytest

from jobs.kinds.registry import KINDS
from jobs.queue.context import JobContext
from jobs.queue.kind import Kind, Subject, UniqueBy, by_name, plain
from store.pool import Database
from store.queue import kinds
from tests.jobs.conftest import DEADLINE_SECONDS, Admin, Bench, Working

INSERT = "INSERT INTO jobs (job_type, tenant_id, visit_id, unique_key) VALUES ($1, $2, $3, $4) RETURNING id"
RUNBOOKS_RETRY = """
INSERT INTO ai_jobs (visit_id, job_type, payload, attempts)
SELECT visit_id, job_type, payload, 0
FROM ai_jobs_dlq
WHERE id = '{}';
"""


async def noop(ctx: JobContext) -> None:
    """Complete at once, with an empty result."""
    await ctx.complete({})


def quiet(name: str = "quiet", **more: object) -> Kind:
    """Return a kind that nobody waits for."""
    return Kind(name, plain(noop), **more)  # type: ignore[arg-type]


@asynccontextmanager
async def known(service: Database, *some: Kind) -> AsyncIterator[None]:
    """Let the database know kinds for the length of a test."""
    async with service.as_system() as conn:
        await kinds.register(conn, [kind.as_row() for kind in some])
    try:
        yield
    finally:
        async with service.as_system() as conn:
            await conn.execute("DELETE FROM job_kinds WHERE name = ANY ($1)", [kind.name for kind in some])


async def until_final(bench: Bench, job_id: UUID) -> str:
    """Wait until a job that tells nobody is over; returns how it ended."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            row = await bench.row(job_id)
            if row is None or row["finished_at"] is not None:
                return "failed" if row is None else str(row["status"])
            await asyncio.sleep(0.02)


async def test_the_database_knows_the_kinds_its_triggers_queue(service: Database) -> None:
    """What the migrations wrote down is what the registry says: nothing changes as a worker starts."""
    async with service.as_system() as conn:
        before = await conn.fetch("SELECT *, xmin::text FROM job_kinds ORDER BY name")
        await kinds.register(conn, [kind.as_row() for kind in KINDS])
        after = await conn.fetch("SELECT *, xmin::text FROM job_kinds ORDER BY name")
    assert {row["name"] for row in before} <= by_name(KINDS).keys()
    assert [row for row in after if row["name"] in {old["name"] for old in before}] == before


async def test_a_noop_beside_an_estimate_runs_and_the_visit_shows_the_estimate(
    client: httpx.AsyncClient, bench: Bench, working: Working
) -> None:
    """A job type that nobody registered: it runs, tells the stream, and is not the visit's job."""
    visit = await bench.visit()
    estimate = await bench.enqueue(visit=visit, run_at=None)
    beside = await bench.enqueue("noop", visit=visit)
    held: asyncio.Event = asyncio.Event()

    async def hold(ctx: JobContext) -> None:
        await held.wait()
        await ctx.complete({})

    async with working({"noop": noop, "estimate": hold}):
        assert await bench.until(beside, "job.completed", "job.failed") == "job.completed"
        shown = (await client.get(f"/v1/visits/{visit}", headers=bench.tenant.headers)).json()["job"]
        held.set()
    assert shown["id"] == str(estimate)
    ended = await bench.admin.fetch("SELECT job_id FROM processing_events WHERE visit_id = $1 AND ends_stream", visit)
    assert [row["job_id"] for row in ended] in ([], [estimate])


async def test_a_background_job_runs_while_all_that_people_wait_for_is_stuck(bench: Bench, working: Working) -> None:
    """And the other way round: each lane has slots of its own."""
    stuck: asyncio.Event = asyncio.Event()

    async def hang(ctx: JobContext) -> None:
        await stuck.wait()
        await ctx.complete({})

    async with known(bench.service, quiet(), quiet("slow")):
        for _ in range(4):
            await bench.enqueue("hang")
            await bench.admin.fetchval(INSERT, "slow", bench.tenant.id, await bench.visit(), None)
        visit = await bench.visit()
        job = await bench.admin.fetchval(INSERT, "quiet", bench.tenant.id, visit, None)
        tasks = {"hang": hang, "slow": hang, "quiet": noop}
        async with working(tasks, kinds=(*KINDS, quiet(), quiet("slow"))):
            assert await until_final(bench, job) == "completed"
            stuck.set()
    assert await bench.admin.fetchval("SELECT count(*) FROM processing_events WHERE visit_id = $1", visit) == 0


async def test_a_job_of_nothing_runs(bench: Bench, working: Working) -> None:
    """Neither a visit nor a tenant: it has a row, a lease and a result as any other."""
    sweep = quiet("sweep", subject=Subject.NONE, unique_by=UniqueBy.KIND)
    async with known(bench.service, sweep):
        job = await bench.admin.fetchval(INSERT, "sweep", None, None, None)
        with pytest.raises(asyncpg.UniqueViolationError):
            await bench.admin.execute(INSERT, "sweep", None, None, None)
        async with working({"sweep": noop}, kinds=(*KINDS, sweep)):
            assert await until_final(bench, job) == "completed"
        await bench.admin.execute(INSERT, "sweep", None, None, None)


async def test_a_kind_says_what_its_jobs_are_of(bench: Bench) -> None:
    """A job without its subject is refused; of one key there is one at a time."""
    async with known(bench.service, quiet(unique_by=UniqueBy.KEY, max_attempts=20)):
        visit = await bench.visit()
        with pytest.raises(asyncpg.NotNullViolationError):
            await bench.admin.execute(INSERT, "quiet", bench.tenant.id, None, "a")
        job = await bench.admin.fetchval(INSERT, "quiet", bench.tenant.id, visit, "a")
        await bench.admin.execute(INSERT, "quiet", bench.tenant.id, visit, "b")
        with pytest.raises(asyncpg.UniqueViolationError):
            await bench.admin.execute(INSERT, "quiet", bench.tenant.id, visit, "a")
        row = await bench.row(job)
        assert row is not None
        assert (row["lane"], row["speaks"], row["max_attempts"]) == ("quiet", False, 20)


async def test_a_tenants_user_has_nothing_to_do_with_other_lanes(bench: Bench) -> None:
    """It neither queues nor sees a job that is the product's own: a mail holds what a member must not read."""
    async with known(bench.service, quiet()):
        visit = await bench.visit()
        job = await bench.admin.fetchval(INSERT, "quiet", bench.tenant.id, visit, None)
        async with bench.db.as_user(bench.tenant.claims) as conn:
            for table in ("jobs", "ai_jobs"):
                assert await conn.fetch(f"SELECT id FROM {table} WHERE id = $1", job) == []
        for table in ("jobs", "ai_jobs"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with bench.db.as_user(bench.tenant.claims) as conn:
                    await conn.execute(f"INSERT INTO {table} (visit_id, job_type) VALUES ($1, 'quiet')", visit)


async def test_the_runbooks_tables_are_the_ai_work(admin: Admin, bench: Bench) -> None:
    """However many others wait, its depth and its dead letters speak of estimates."""
    async with known(bench.service, quiet()):
        visit = await bench.visit()
        for _ in range(3):
            await admin.execute(INSERT, "quiet", bench.tenant.id, visit, None)
        estimate = await bench.enqueue(visit=visit)
        assert [row["id"] for row in await admin.fetch("SELECT id FROM ai_jobs WHERE status = 'queued'")] == [estimate]
        assert [row["id"] for row in await admin.fetch("SELECT id FROM claim_ai_jobs(10)")] == [estimate]
        await admin.execute("UPDATE jobs SET attempts = 3 WHERE visit_id = $1", visit)
        for row in await admin.fetch("SELECT id FROM jobs WHERE visit_id = $1", visit):
            await admin.execute("SELECT move_to_dlq($1, 'broken')", row["id"])
        dead = await admin.fetch("SELECT original_job_id FROM ai_jobs_dlq WHERE visit_id = $1", visit)
        assert [row["original_job_id"] for row in dead] == [estimate]


async def test_the_runbooks_retry_marks_the_letter(admin: Admin, bench: Bench) -> None:
    """The runbook's literal INSERT queues the work again, and the letter waits no more."""
    job = await bench.enqueue(payload={"a": 1})
    await admin.execute("UPDATE ai_jobs SET attempts = 3 WHERE id = $1", job)
    await admin.execute("SELECT move_to_dlq($1, 'broken')", job)
    [letter] = await bench.dead(job)
    await admin.execute(RUNBOOKS_RETRY.format(letter["id"]))
    [letter] = await bench.dead(job)
    again = await admin.fetchrow("SELECT * FROM ai_jobs WHERE visit_id = $1", letter["visit_id"])
    assert again is not None
    assert (again["status"], again["attempts"], again["payload"]) == ("queued", 0, {"a": 1})
    assert letter["retried_at"] is not None
