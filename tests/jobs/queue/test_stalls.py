"""Jobs that stand still: each change is told once on the visit's stream, and the job's status says it."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from gateway.progress.stall_watcher import StallWatcher
from store.queue import stalls
from tests.jobs.conftest import Admin, Bench
from tests.stack import Services
from tests.support.waiting import until


@pytest.fixture(autouse=True)
async def no_worker(admin: Admin) -> None:
    """Start with no worker that was seen, nothing told, and a database that has been up for long enough."""
    await admin.execute("DELETE FROM processes; DELETE FROM job_stalls")

    async def none_seen() -> bool:
        return not await admin.fetchval("SELECT scopekit.worker_seen()")

    await until(none_seen)


async def _worker_reports(bench: Bench, name: str = "a worker") -> None:
    await bench.admin.execute("SELECT scopekit.report_process($1, 'worker', '{}', '{}')", name)


async def _waiting(bench: Bench) -> UUID:
    job_id = await bench.enqueue()
    await bench.admin.execute("UPDATE jobs SET run_at = now() - interval '6 s' WHERE id = $1", job_id)
    return job_id


async def _look(bench: Bench, *jobs: UUID) -> int:
    rows = await bench.admin.fetch("SELECT visit_id FROM jobs WHERE id = ANY ($1)", jobs)
    return await StallWatcher(bench.db, lambda: [str(row["visit_id"]) for row in rows]).look()


async def _reason(bench: Bench, job_id: UUID) -> str | None:
    payload = await bench.payload(job_id, "job.stalled")
    return str(payload["reason"]) if payload["reason"] else None


async def test_a_queue_without_a_worker_is_told_once_and_again_when_one_comes(bench: Bench) -> None:
    """Two gateways may look; the stream is told of each change once."""
    job_id = await _waiting(bench)
    assert [await _look(bench, job_id) for _ in range(2)] == [1, 0]
    assert await _reason(bench, job_id) == "no_worker"
    status = await bench.status(job_id)
    assert (status["stalled"], status["message"]) == (
        "no_worker",
        "Waiting: nothing works on estimates at the moment. It starts by itself.",
    )
    await _worker_reports(bench)
    assert [await _look(bench, job_id) for _ in range(2)] == [1, 0]
    assert await _reason(bench, job_id) is None
    assert (await bench.status(job_id))["stalled"] is None
    assert (await bench.events(job_id)).count("job.stalled") == 2


async def test_a_job_that_is_not_watched_or_has_just_come_is_not_told(bench: Bench) -> None:
    """A worker takes a new job in milliseconds, and nobody reads what is told of a visit without a stream."""
    job_id, new = await _waiting(bench), await bench.enqueue()
    assert await _look(bench, new) == 0
    async with bench.db.connection() as conn:
        assert await stalls.report(conn, []) == 0
    assert await bench.events(job_id) == ["job.queued"]


@pytest.mark.parametrize("name", ["all", "estimate", "engine:local"])
async def test_a_paused_queue_is_told(bench: Bench, name: str) -> None:
    """By an operator or by an engine's breaker, though a worker is there."""
    await _worker_reports(bench)
    job_id = await _waiting(bench)
    assert await _look(bench, job_id) == 0
    await bench.admin.execute("SELECT scopekit.pause_queue($1)", name)
    assert await _look(bench, job_id) == 1
    assert await _reason(bench, job_id) == "paused"


async def test_a_silent_worker_s_job_is_told_and_another_s_is_not(bench: Bench) -> None:
    """The frozen and the cut off keep their leases for a minute; their visits hear of it long before."""
    frozen, well = (await bench.running()).job_id, (await bench.running()).job_id
    await bench.admin.execute(
        "UPDATE jobs SET started_at = now() - interval '8 s', worker = CASE id WHEN $1 THEN 'frozen' ELSE 'well' END "
        "WHERE status = 'running'",
        frozen,
    )
    await _worker_reports(bench, "well")
    await _worker_reports(bench, "frozen")
    await bench.admin.execute("UPDATE processes SET seen_at = now() - interval '8 s' WHERE name = 'frozen'")
    assert await _look(bench, frozen, well) == 1
    assert await _reason(bench, frozen) == "worker_silent"
    assert "job.stalled" not in await bench.events(well)


async def test_a_visit_that_is_held_elsewhere_is_told_later(bench: Bench, services: Services) -> None:
    """Nobody waits for a lock that somebody outside the queue holds."""
    job_id = await _waiting(bench)
    other = await asyncpg.connect(services.admin_url)
    try:
        async with other.transaction():
            await other.execute(
                "SELECT FROM visit_streams WHERE visit_id = (SELECT visit_id FROM jobs WHERE id = $1) FOR UPDATE",
                job_id,
            )
            async with asyncio.timeout(5):
                assert await _look(bench, job_id) == 0
    finally:
        await other.close()
    assert await _look(bench, job_id) == 1


async def test_nothing_is_told_of_a_job_that_has_ended(bench: Bench) -> None:
    """An event of a job after its last would open the visit's ended stream again."""
    job_id = await _waiting(bench)
    await _look(bench, job_id)
    await bench.cancel(job_id)
    assert await _look(bench, job_id) == 0
    assert (await bench.events(job_id))[-1] == "job.cancelled"
    assert await bench.admin.fetchval("SELECT count(*) FROM job_stalls") == 0
