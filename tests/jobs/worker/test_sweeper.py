"""The sweeper, the hand-back and the cancel of what nobody runs."""

import asyncio
from datetime import timedelta

from store.queue import jobs
from store.queue.jobs import Lease
from tests.jobs.conftest import Bench


async def test_an_expired_lease_is_queued_again_after_a_backoff(bench: Bench) -> None:
    """The attempt stays spent, the loss is counted, and the job waits about a second."""
    lease = await bench.running()
    assert (await bench.sweep())["requeued"] == 0
    await bench.expire(lease)
    assert (await bench.sweep())["requeued"] == 1
    row = await bench.row(lease.job_id)
    assert row is not None
    assert (row["status"], row["attempts"], row["lost_leases"], row["lease_token"]) == ("queued", 1, 1, None)
    wait = await bench.admin.fetchval("SELECT run_at - now() FROM ai_jobs WHERE id = $1", lease.job_id)
    assert timedelta(seconds=-1) < wait < timedelta(seconds=1.4)
    assert (await bench.events(lease.job_id))[-1] == "job.released"


async def test_a_job_that_kills_three_workers_is_dead_lettered(bench: Bench) -> None:
    """A poison job must not go round for ever, however many attempts it has."""
    lease = await bench.running()
    await bench.admin.execute("UPDATE ai_jobs SET max_attempts = 25 WHERE id = $1", lease.job_id)
    for loss in range(3):
        await bench.expire(lease)
        found = await bench.sweep()
        if loss < 2:
            await bench.due(lease.job_id)
            (row,) = await bench.claim()
            lease = Lease(lease.job_id, row["lease_token"])
    assert found["dead"] == 1
    (letter,) = await bench.dead(lease.job_id)
    assert letter["error_code"] == "worker_lost"
    assert "3 time" in letter["last_error"]


async def test_a_lost_last_attempt_is_the_end(bench: Bench) -> None:
    """A job that may be tried once is not tried again because its worker died."""
    lease = await bench.running()
    await bench.admin.execute("UPDATE ai_jobs SET max_attempts = 1 WHERE id = $1", lease.job_id)
    await bench.expire(lease)
    assert (await bench.sweep())["dead"] == 1


async def test_sweepers_at_the_same_time_free_each_lease_once(bench: Bench) -> None:
    """Several workers sweep at second 0; no job loses two leases by it."""
    leases = [await bench.running() for _ in range(6)]
    for lease in leases:
        await bench.expire(lease)

    async def sweep() -> int:
        async with bench.service.as_system() as conn:
            requeued: int = (await jobs.sweep(conn, 100))["requeued"]
            return requeued

    assert sum(await asyncio.gather(*(sweep() for _ in range(4)))) == len(leases)
    losses = await bench.admin.fetch(
        "SELECT lost_leases FROM ai_jobs WHERE id = ANY($1)", [lease.job_id for lease in leases]
    )
    assert {row["lost_leases"] for row in losses} == {1}


async def test_the_sweep_counts_what_is_due(bench: Bench) -> None:
    """What waits for a worker is told, so that somebody rings."""
    await bench.enqueue()
    later = await bench.enqueue()
    await bench.admin.execute("UPDATE ai_jobs SET run_at = now() + interval '1 h' WHERE id = $1", later)
    assert (await bench.sweep())["due"] == 1


async def test_a_release_refunds_the_attempt(bench: Bench) -> None:
    """A rolling restart costs a job nothing: it is due at once, with no attempt and no loss counted."""
    lease = await bench.running()
    async with bench.service.as_system() as conn:
        assert await jobs.release(conn, lease) == "queued"
    row = await bench.row(lease.job_id)
    assert row is not None
    assert (row["attempts"], row["lost_leases"]) == (0, 0)
    assert (await bench.events(lease.job_id))[-1] == "job.released"
    assert [claimed["attempts"] for claimed in await bench.claim()] == [1]


async def test_a_queued_job_is_cancelled_at_once(bench: Bench) -> None:
    """Nobody runs it, so nobody has to be asked; a second cancel changes nothing."""
    job_id = await bench.enqueue()
    assert (await bench.cancel(job_id))["status"] == "cancelled"
    assert (await bench.cancel(job_id))["message"] == "Cancelled."
    assert await bench.events(job_id) == ["job.queued", "job.cancelled"]
    assert await bench.claim() == []


async def test_a_running_job_is_asked_to_stop(bench: Bench) -> None:
    """It runs until its worker has stopped; then it is cancelled."""
    lease = await bench.running()
    status = await bench.cancel(lease.job_id)
    assert (status["status"], status["cancel_requested"], status["message"]) == ("running", True, "Stopping.")
    async with bench.service.as_system() as conn:
        assert await jobs.finish_cancelled(conn, lease) == "cancelled"
    assert (await bench.events(lease.job_id))[-1] == "job.cancelled"


async def test_a_cancelled_job_whose_worker_died_is_cancelled_by_the_sweep(bench: Bench) -> None:
    """It is not run again only to be stopped."""
    lease = await bench.running()
    await bench.cancel(lease.job_id)
    await bench.expire(lease)
    assert (await bench.sweep())["cancelled"] == 1
    assert (await bench.status(lease.job_id))["status"] == "cancelled"


async def test_a_cancel_beats_a_retry_and_a_hand_back(bench: Bench) -> None:
    """A failing or stopping worker does not queue again what somebody gave up."""
    failing, leaving = await bench.running(), await bench.running()
    for lease in (failing, leaving):
        await bench.cancel(lease.job_id)
    async with bench.service.as_system() as conn:
        failure = jobs.Failure("timeout", "x", timedelta(0))
        assert await jobs.fail(conn, failing, failure) == "cancelled"
        assert await jobs.release(conn, leaving) == "cancelled"


async def test_a_finished_job_cannot_be_cancelled(bench: Bench) -> None:
    """Completed stays completed; the answer says so."""
    lease = await bench.running()
    async with bench.service.as_system() as conn:
        await jobs.complete(conn, lease, {"total": "1.00"}, None)
    status = await bench.cancel(lease.job_id)
    assert (status["status"], status["result"], status["message"]) == ("completed", {"total": "1.00"}, "Done.")


async def test_what_a_cancelled_job_had_paid_for_is_kept_however_it_ended(bench: Bench) -> None:
    """Its checkpoints go, the costs in them stay: ended by its worker, or swept because its worker is gone."""
    ended, swept = await bench.running(), await bench.running()
    for lease in (ended, swept):
        async with bench.service.as_system() as conn:
            assert await jobs.put_checkpoint(conn, lease, "draft", "", {"calls": [{"cost": "0.25"}, {"cost": "0.5"}]})
        await bench.cancel(lease.job_id)
    async with bench.service.as_system() as conn:
        await jobs.finish_cancelled(conn, ended)
    await bench.expire(swept)
    assert (await bench.sweep())["cancelled"] == 1
    spent = await bench.admin.fetch(
        "SELECT job_id, cost::text FROM cancelled_spending WHERE tenant_id = $1", bench.tenant.id
    )
    assert {row["job_id"]: row["cost"] for row in spent} == {
        ended.job_id: "0.750000",
        swept.job_id: "0.750000",
    }
