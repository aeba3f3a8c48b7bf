"""Completing together: one commit for many, each job held to its own lease."""

import asyncio

import asyncpg
import pytest

from jobs.worker.attempts.completer import Completer
from store.queue import jobs
from store.queue.jobs import Done, Lease
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
        told = await bench.payload(lease.job_id, "job.completed")
        assert told == {"number": number, "correlation_id": str(lease.job_id)}
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
    assert answers == {kept: "completed", lost: "lost", stopped: "cancelled"}
    assert (await bench.status(lost.job_id))["status"] == "queued"
    assert (await bench.status(stopped.job_id))["status"] == "running"
    assert "job.completed" not in await bench.events(lost.job_id) + await bench.events(stopped.job_id)


@pytest.mark.parametrize("zombie_first", [True, False])
async def test_two_attempts_at_one_job_in_one_batch_are_told_apart(bench: Bench, *, zombie_first: bool) -> None:
    """A zombie and the attempt that has the job now: the answer and the result of each go by its token."""
    zombie = await bench.running()
    await bench.expire(zombie)
    await bench.sweep()
    await bench.due(zombie.job_id)
    [row] = await bench.claim()
    owner = Lease(row["id"], row["lease_token"])
    async with bench.service.as_system() as conn:
        batch = [zombie, owner] if zombie_first else [owner, zombie]
        answers = await jobs.complete_many(conn, [Done(lease, {"of": str(lease.token)}, None) for lease in batch])
    assert answers == {zombie: "lost", owner: "completed"}
    assert (await bench.status(owner.job_id))["result"] == {"of": str(owner.token)}
    assert (await bench.events(owner.job_id)).count("job.completed") == 1


async def test_what_was_given_up_while_it_waited_is_not_completed(bench: Bench) -> None:
    """Its work was cancelled before its turn came: nothing of it is written."""
    first, given_up = [await bench.running() for _ in range(2)]
    completer = Completer(bench.service)
    begun = asyncio.create_task(completer.complete(first, {}, None))
    waiting = asyncio.create_task(completer.complete(given_up, {}, None))
    await asyncio.sleep(0)  # both stand in line; the first commit has not begun
    waiting.cancel()
    assert await begun == "completed"
    assert (await bench.status(given_up.job_id))["status"] == "running"


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
