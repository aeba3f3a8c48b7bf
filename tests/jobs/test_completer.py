"""Completing together: one commit for many, each job held to its own lease."""

import asyncio

import asyncpg
import pytest

from jobs.completer import Completer
from store import jobs
from store.jobs import Done
from tests.jobs.conftest import Bench

ANALYTICS = {"event": "done", "properties": {"lines": 2}}


async def test_jobs_that_finish_together_commit_together(bench: Bench) -> None:
    """Ten jobs: the first goes at once, the others share; each has its result, its event and its analytics."""
    leases = [await bench.running() for _ in range(10)]
    completer = Completer(bench.service)
    answers = await asyncio.gather(
        *(completer.complete(lease, {"number": number}, ANALYTICS) for number, lease in enumerate(leases))
    )
    assert answers == ["completed"] * 10
    for number, lease in enumerate(leases):
        assert (await bench.status(lease.job_id))["result"] == {"number": number}
        assert await bench.payload(lease.job_id, "job.completed") == {"number": number}
    commits = await bench.admin.fetchval(
        "SELECT count(DISTINCT xmin::text) FROM processing_events WHERE tenant_id = $1 AND type = 'job.completed'",
        bench.tenant.id,
    )
    assert commits < 10
    told = await bench.admin.fetchval("SELECT count(*) FROM analytics_events WHERE tenant_id = $1", bench.tenant.id)
    assert told == 10


async def test_a_lost_and_a_cancelled_job_do_not_complete_beside_the_others(bench: Bench) -> None:
    """In one statement each is judged by itself, and what is refused is left as it was."""
    kept, lost, stopped = [await bench.running() for _ in range(3)]
    await bench.expire(lost)
    await bench.sweep()
    await bench.cancel(stopped.job_id)
    async with bench.service.as_system() as conn:
        answers = await jobs.complete_many(conn, [Done(lease, {}, None) for lease in (kept, lost, stopped)])
    assert answers == {kept.job_id: "completed", lost.job_id: "lost", stopped.job_id: "cancelled"}
    assert (await bench.status(lost.job_id))["status"] == "queued"
    assert (await bench.status(stopped.job_id))["status"] == "running"
    assert "job.completed" not in await bench.events(lost.job_id) + await bench.events(stopped.job_id)


async def test_a_result_that_cannot_be_stored_fails_alone(bench: Bench) -> None:
    """PostgreSQL takes no U+0000; the neighbours in the batch complete."""
    bad, *good = [await bench.running() for _ in range(4)]
    completer = Completer(bench.service)
    results = await asyncio.gather(
        completer.complete(bad, {"text": "a\0b"}, None),
        *(completer.complete(lease, {}, None) for lease in good),
        return_exceptions=True,
    )
    assert isinstance(results[0], asyncpg.PostgresError)
    assert results[1:] == ["completed"] * 3
    with pytest.raises(asyncpg.PostgresError):
        await completer.complete(bad, {"text": "a\0b"}, None)
