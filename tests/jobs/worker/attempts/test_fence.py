"""The fence: a worker that lost its lease changes nothing any more."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from jobs.queue.errors import JobCancelled, LeaseLost
from jobs.queue.states import IllegalMove
from jobs.worker.attempts.attempt import JobAttempt, StopReason
from jobs.worker.attempts.event_writer import EventWriter
from store.pool import Connection
from store.queue import jobs
from store.queue.jobs import Failure, Lease
from tests.jobs.conftest import MINUTE, Bench

AGAIN = Failure("broken", "x", timedelta(0))
NEVER = Failure("broken", "x", None)

Write = Callable[[Connection, Lease], Awaitable[Any]]
WRITES: dict[str, Write] = {
    "events": lambda conn, lease: jobs.append_events(conn, lease, [{"type": "step.started", "payload": {}}]),
    "checkpoint": lambda conn, lease: jobs.put_checkpoint(conn, lease, "look", "1", {"a": 1}),
    "completion": lambda conn, lease: jobs.complete(conn, lease, {"total": "1.00"}, {"event": "e", "properties": {}}),
    "retry": lambda conn, lease: jobs.fail(conn, lease, AGAIN),
    "dead letter": lambda conn, lease: jobs.fail(conn, lease, NEVER),
    "release": jobs.release,
    "cancel": jobs.finish_cancelled,
}


async def _everything(bench: Bench, job_id: UUID) -> list[Any]:
    """Read all that a worker could have changed."""
    tables = {"ai_jobs": "id", "ai_jobs_dlq": "original_job_id", "job_steps": "job_id", "processing_events": "job_id"}
    found = [
        await bench.admin.fetch(f"SELECT * FROM {table} WHERE {column} = $1 ORDER BY 1, 2", job_id)
        for table, column in tables.items()
    ]
    analytics = await bench.admin.fetchval(
        "SELECT count(*) FROM analytics_events WHERE tenant_id = $1", bench.tenant.id
    )
    return [*found, analytics]


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_a_zombies_write_touches_nothing(bench: Bench, write: Write) -> None:
    """After the sweeper gave the job to another worker, every write of the first one is refused."""
    zombie = await bench.running()
    await bench.expire(zombie)
    await bench.sweep()
    await bench.due(zombie.job_id)
    (heir,) = await bench.claim()
    assert heir["id"] == zombie.job_id
    before = await _everything(bench, zombie.job_id)
    async with bench.service.as_system() as conn:
        assert not await write(conn, zombie)
    assert await _everything(bench, zombie.job_id) == before


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_a_finished_job_takes_no_more_writes(bench: Bench, write: Write) -> None:
    """Completed is final, also for the worker that completed it."""
    lease = await bench.running()
    async with bench.service.as_system() as conn:
        assert await jobs.complete(conn, lease, {"total": "1.00"}, None)
    before = await _everything(bench, lease.job_id)
    async with bench.service.as_system() as conn:
        assert not await write(conn, lease)
    assert await _everything(bench, lease.job_id) == before


async def test_a_lease_that_ran_out_unseen_is_still_a_lease(bench: Bench) -> None:
    """Until somebody takes the job away, its worker may finish it."""
    lease = await bench.running()
    await bench.expire(lease)
    async with bench.service.as_system() as conn:
        assert await jobs.renew(conn, [lease], MINUTE) == {lease.job_id: False}
    assert (await bench.sweep())["requeued"] == 0


async def test_one_renewal_serves_all_and_tells_which_are_lost(bench: Bench) -> None:
    """Of three leases one is lost and one is to stop."""
    kept, lost, stopped = [await bench.running() for _ in range(3)]
    await bench.expire(lost)
    await bench.sweep()
    await bench.cancel(stopped.job_id)
    async with bench.service.as_system() as conn:
        held = await jobs.renew(conn, [kept, lost, stopped], timedelta(minutes=5))
    assert held == {kept.job_id: False, stopped.job_id: True}
    row = await bench.row(kept.job_id)
    assert row is not None
    assert row["lease_expires_at"] - row["started_at"] > timedelta(minutes=4)


async def test_a_busy_row_does_not_hold_up_the_renewal(bench: Bench) -> None:
    """A job whose result is being written is held, and renewed the next time."""
    busy, idle = await bench.running(), await bench.running()
    async with bench.service.as_system() as writing:
        assert await jobs.begin_completion(writing, busy) == "held"
        async with bench.service.as_system() as conn:
            await conn.execute("SET LOCAL lock_timeout = '1s'")
            assert set(await jobs.renew(conn, [busy, idle], MINUTE)) == {busy.job_id, idle.job_id}


async def _run(bench: Bench, **more: Any) -> JobAttempt:
    """Claim a new job as a run."""
    job_id = await bench.enqueue(**more)
    rows = await bench.claim(100)
    return JobAttempt(bench.service, next(row for row in rows if row["id"] == job_id), held_until=0)


async def test_a_completion_is_one_transaction(bench: Bench) -> None:
    """The work's rows, the result with what they returned, the event and the analytics arrive together."""
    run = await _run(bench)

    async def writes(conn: Connection) -> dict[str, Any]:
        await conn.execute("UPDATE site_visits SET title = 'written' WHERE id = $1", run.visit_id)
        return {"version": 7}

    analytics = {"event": "estimate_generated", "properties": {"line_count": 2}}
    await run.complete({"total": "12.50", "analytics": analytics}, writes)
    status = await bench.status(run.job_id)
    assert (status["status"], status["result"]) == ("completed", {"total": "12.50", "version": 7})
    final = await bench.payload(run.job_id, "job.completed")
    assert final == {"total": "12.50", "version": 7, "correlation_id": str(run.job_id)}
    visit = await bench.admin.fetchrow("SELECT title, status FROM site_visits WHERE id = $1", run.visit_id)
    assert visit is not None
    assert tuple(visit) == ("written", "completed")
    told = await bench.admin.fetchrow("SELECT * FROM analytics_events WHERE tenant_id = $1", bench.tenant.id)
    assert told is not None
    assert (told["event"], told["properties"]) == ("estimate_generated", {"line_count": 2})
    with pytest.raises(IllegalMove):
        await run.complete({}, writes)


async def test_a_failing_write_leaves_nothing_of_a_completion(bench: Bench) -> None:
    """An error in the work's own rows rolls all of it back, and the job still runs."""
    run = await _run(bench)
    before = await _everything(bench, run.job_id)

    async def writes(conn: Connection) -> None:
        await conn.execute("UPDATE site_visits SET title = 'written' WHERE id = $1", run.visit_id)
        await conn.execute("SELECT 1 / 0")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await run.complete({}, writes)
    assert await _everything(bench, run.job_id) == before
    assert await bench.admin.fetchval("SELECT title FROM site_visits WHERE id = $1", run.visit_id) == ""
    assert not run.finished


async def test_a_lost_run_writes_nothing_and_stops(bench: Bench) -> None:
    """Its completion raises before the work's own rows are written."""
    run = await _run(bench)
    await bench.expire(run.lease)
    await bench.sweep()

    async def writes(_conn: Connection) -> None:
        raise AssertionError("must not be reached")

    with pytest.raises(LeaseLost):
        await run.complete({}, writes)
    assert run.stop_reason is StopReason.LOST


async def test_a_cancel_before_the_commit_wins(bench: Bench) -> None:
    """Once the contractor was told that it stops, the job does not complete."""
    run = await _run(bench)
    await bench.cancel(run.job_id)

    async def writes(_conn: Connection) -> None:
        raise AssertionError("must not be reached")

    with pytest.raises(JobCancelled):
        await run.complete({}, writes)
    assert "job.completed" not in await bench.events(run.job_id)


async def test_checkpoints_outlive_an_attempt_but_not_the_job(bench: Bench) -> None:
    """A rescued job reads what the first attempt kept; a completed one keeps nothing."""
    run = await _run(bench)
    await run.checkpoint_put("look", "a", {"seen": 1})
    await run.checkpoint_put("look", "a", {"seen": 2})
    await bench.expire(run.lease)
    await bench.sweep()
    await bench.due(run.job_id)
    (row,) = await bench.claim()
    rescued = JobAttempt(bench.service, row, held_until=0)
    assert await rescued.checkpoint_get("look", "a") == {"seen": 2}
    assert await rescued.checkpoint_get("look", "b") is None

    async def writes(_conn: Connection) -> None:
        """Nothing of its own."""

    await rescued.complete({}, writes)
    assert await bench.admin.fetchval("SELECT count(*) FROM job_steps WHERE job_id = $1", run.job_id) == 0


async def test_progress_is_written_in_batches_and_in_order(bench: Bench) -> None:
    """A hundred progress events and a step's end come out in the order in which they went in."""
    run = await _run(bench)
    for done in range(100):
        await run.event("step.progress", {"step": "look", "done": done, "total": 100})
    await run.event("step.completed", {"step": "look", "ms": 5})
    rows = await bench.admin.fetch(
        "SELECT type, payload FROM processing_events WHERE job_id = $1 AND type LIKE 'step.%' ORDER BY seq", run.job_id
    )
    assert [row["payload"].get("done") for row in rows] == [*range(100), None]
    commits = await bench.admin.fetchval(
        "SELECT count(DISTINCT xmin::text) FROM processing_events WHERE job_id = $1 AND type = 'step.progress'",
        run.job_id,
    )
    assert commits < 10


async def test_lone_progress_is_written_soon(bench: Bench) -> None:
    """A single progress event does not wait for company for ever."""
    run = await _run(bench)
    await run.event("step.progress", {"step": "look", "done": 1, "total": 2})
    assert await bench.until(run.job_id, "step.progress") == "step.progress"


async def test_events_written_during_a_flush_are_not_lost(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one batch is on its way another event comes: it is in the next one, after those before it."""
    lease = await bench.running()
    append = jobs.append_events
    writer = EventWriter(bench.service, lease, lambda: None)
    late: list[asyncio.Task[None]] = []

    async def append_slowly(*args: Any, **more: Any) -> bool:
        if not late:
            late.append(asyncio.create_task(writer.write("step.progress", {"n": 2})))
            await asyncio.sleep(0)
        return await append(*args, **more)

    monkeypatch.setattr("store.queue.jobs.append_events", append_slowly)
    await writer.write("step.started", {"n": 1})
    await asyncio.gather(*late)
    await writer.flush()
    rows = await bench.admin.fetch(
        "SELECT payload FROM processing_events WHERE job_id = $1 AND type LIKE 'step.%' ORDER BY seq", lease.job_id
    )
    assert [row["payload"]["n"] for row in rows] == [1, 2]
    await writer.close()
