"""A worker as a whole: with Redis and without, through cancels, losses and shutdowns."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from pydantic import RedisDsn

from jobs.queue.context import JobContext
from jobs.queue.intervals import Intervals
from store.pool import Connection
from tests.jobs.conftest import DEADLINE_SECONDS, Bench, Working
from tests.product import free_port

# Half a second on: several renewals.
RENEWED = "SELECT lease_expires_at > $2::timestamptz + interval '0.5 s' FROM jobs WHERE id = $1"
# Long enough that nothing but the way under test can be what works.
ONLY_BELL = Intervals(poll_s=(60.0, 60.0), sweep_s=60.0)
NO_BELL = Intervals(poll_s=(0.1, 0.2))


async def _nothing(_conn: Connection) -> None:
    """Write no rows of its own."""


async def echo(context: JobContext) -> None:
    """Complete at once."""
    await context.complete({"attempt": context.attempt}, _nothing)


@dataclass
class Long:
    """Work that runs until it is stopped."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    stopped_at: float = 0.0

    async def __call__(self, _context: JobContext) -> None:
        """Wait for ever."""
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped_at = time.monotonic()
            self.stopped.set()


async def _within(awaitable: Awaitable[Any], seconds: float = DEADLINE_SECONDS) -> None:
    async with asyncio.timeout(seconds):
        await awaitable


def _nowhere() -> RedisDsn:
    """Name a Redis that is not there."""
    return RedisDsn(f"redis://127.0.0.1:{free_port()}/0")


async def test_a_ring_starts_a_queued_job_at_once(bench: Bench, working: Working) -> None:
    """Enqueue, ring, done: well before any worker looks by itself."""
    async with working({"echo": echo}, intervals=ONLY_BELL):
        warm = await bench.enqueue("echo")
        while (await bench.events(warm))[-1] != "job.completed":  # the listener may not be there yet
            await bench.queue.ring()
            await asyncio.wait([asyncio.create_task(bench.until(warm, "job.completed"))], timeout=0.2)
        job_id = await bench.enqueue("echo")
        await bench.queue.ring()
        await bench.until(job_id, "job.completed", seconds=ONLY_BELL.poll_s[0] / 2)
    assert await bench.events(job_id) == ["job.queued", "job.started", "job.completed"]
    assert (await bench.status(job_id))["result"] == {"attempt": 1}


async def test_one_wake_fills_every_slot_and_finishing_claims_the_next(bench: Bench, working: Working) -> None:
    """Twelve jobs, three slots: never more than three at once, and all done without another wake."""
    made = [await bench.enqueue("count") for _ in range(12)]
    running, most = 0, 0

    async def count(context: JobContext) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        await echo(context)

    async with working({"count": count}, intervals=ONLY_BELL, worker_concurrency=3):
        for job_id in made:
            await bench.until(job_id, "job.completed")
    assert most == 3


async def test_jobs_are_done_without_redis(bench: Bench, working: Working) -> None:
    """With a Redis that was never there the worker looks for itself."""
    async with working({"echo": echo}, redis_url=_nowhere(), intervals=NO_BELL):
        for _ in range(2):
            job_id = await bench.enqueue("echo")
            assert await bench.until(job_id, "job.completed") == "job.completed"


async def test_a_retry_runs_when_its_backoff_is_over(bench: Bench, working: Working) -> None:
    """Nobody has to ring for it; the second attempt completes."""
    job_id = await bench.enqueue("flaky")

    async def flaky(context: JobContext) -> None:
        if context.attempt == 1:
            raise RuntimeError("only once")
        await echo(context)

    async with working({"flaky": flaky}, intervals=NO_BELL):
        await bench.until(job_id, "job.completed")
    assert await bench.events(job_id) == [
        *("job.queued", "job.started", "job.retrying"),
        *("job.started", "job.completed"),
    ]


async def test_an_unknown_job_type_is_dead_lettered_and_stops_nobody(bench: Bench, working: Working) -> None:
    """One bad job does not hold up the good one behind it."""
    bad, good = await bench.enqueue("nonsense"), await bench.enqueue("echo")
    async with working({"echo": echo}, worker_concurrency=1):
        await bench.until(good, "job.completed")
        await bench.until(bad, "job.failed")
    status = await bench.status(bad)
    assert (status["last_error"], status["error_code"]) == ("Unknown job type: nonsense", "unknown_job_type")
    assert status["attempts"] == 1


async def test_a_cancel_stops_running_work_within_half_a_second(bench: Bench, working: Working) -> None:
    """From the request to the aborted work, with lease renewals far apart."""
    long = Long()
    job_id = await bench.enqueue("long")
    async with working({"long": long}):
        await _within(long.started.wait())
        asked = time.monotonic()
        await bench.cancel(job_id)
        await _within(long.stopped.wait())
        await bench.until(job_id, "job.cancelled")
    assert long.stopped_at - asked < 0.5
    assert (await bench.events(job_id))[-1] == "job.cancelled"


async def test_a_cancel_that_was_not_heard_comes_with_the_renewal(bench: Bench, working: Working) -> None:
    """Without the control channel the batched renewal brings it."""
    long = Long()
    job_id = await bench.enqueue("long")
    async with working({"long": long}, intervals=Intervals(renew_s=0.1)):
        await _within(long.started.wait())
        await bench.admin.execute("UPDATE ai_jobs SET cancel_requested_at = now() WHERE id = $1", job_id)
        await bench.until(job_id, "job.cancelled")


async def test_lost_work_is_stopped_and_the_job_runs_again(bench: Bench, working: Working) -> None:
    """A lease that was taken away stops its attempt; the next one completes, and one result is kept."""
    long = Long()
    job_id = await bench.enqueue("twice")

    async def twice(context: JobContext) -> None:
        await (long if context.attempt == 1 else echo)(context)

    async with working({"twice": twice}, intervals=Intervals(renew_s=0.1)):
        await _within(long.started.wait())
        await bench.admin.execute("UPDATE ai_jobs SET lease_expires_at = now() - interval '1 min'")
        # The renewal may come first and save the lease: take it away until it is gone.
        while (await bench.sweep())["requeued"] == 0:
            await bench.admin.execute("UPDATE ai_jobs SET lease_expires_at = now() - interval '1 min'")
        await _within(long.stopped.wait())
        await bench.until(job_id, "job.completed")
    assert (await bench.events(job_id)).count("job.completed") == 1


async def test_renewed_leases_outlive_their_length(bench: Bench, working: Working) -> None:
    """Work longer than a lease keeps its job, sweepers or not."""
    done = asyncio.Event()
    job_id = await bench.enqueue("slow")

    async def slow(context: JobContext) -> None:
        await done.wait()
        await echo(context)

    # Long enough that a busy machine renews in time. The row says how far it has come: nobody waits its length.
    async with working({"slow": slow}, intervals=Intervals(lease_s=10.0, renew_s=0.1)):
        await bench.until(job_id, "job.started")
        begun = await bench.admin.fetchval("SELECT lease_expires_at FROM jobs WHERE id = $1", job_id)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await bench.admin.fetchval(RENEWED, job_id, begun) is not True:
                assert (await bench.sweep())["requeued"] == 0
                await asyncio.sleep(0.05)
        done.set()
        await bench.until(job_id, "job.completed")
    assert (await bench.events(job_id)).count("job.started") == 1


async def test_shutdown_gives_grace_and_hands_the_rest_back(bench: Bench, working: Working) -> None:
    """What can finish finishes; what cannot is queued again with its attempt refunded."""
    long, ending = Long(), asyncio.Event()
    started = asyncio.Event()
    stuck, quick = await bench.enqueue("long"), await bench.enqueue("quick")

    async def quick_work(context: JobContext) -> None:
        started.set()
        await ending.wait()
        await echo(context)

    async with working({"long": long, "quick": quick_work}, intervals=Intervals(grace_s=0.5)):
        await _within(long.started.wait())
        await _within(started.wait())
        asyncio.get_running_loop().call_later(0.2, ending.set)
    assert (await bench.status(quick))["status"] == "completed"
    row = await bench.row(stuck)
    assert row is not None
    assert (row["status"], row["attempts"], row["lost_leases"]) == ("queued", 0, 0)
    assert (await bench.events(stuck))[-1] == "job.released"


async def test_work_that_will_not_stop_is_left_behind(
    bench: Bench, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that swallows its cancellation delays a shutdown by a bounded time, and can write nothing after."""
    monkeypatch.setattr("jobs.worker.executor.PATIENCE_SECONDS", 0.2)
    started, free, outcome = asyncio.Event(), asyncio.Event(), asyncio.Future[BaseException]()
    job_id = await bench.enqueue("stubborn")

    async def stubborn(context: JobContext) -> None:
        started.set()
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue
        try:
            await echo(context)
        except Exception as error:
            outcome.set_result(error)
            raise

    async with working({"stubborn": stubborn}, intervals=Intervals(grace_s=0.0)):
        await _within(started.wait())
    row = await bench.row(job_id)
    assert row is not None
    assert row["status"] == "queued"
    free.set()
    await _within(outcome)
    assert type(outcome.result()).__name__ == "LeaseLost"
    assert "job.completed" not in await bench.events(job_id)


async def test_an_attempt_has_a_deadline(bench: Bench, working: Working) -> None:
    """Work that hangs is stopped and tried again."""
    long = Long()
    job_id = await bench.enqueue("long")
    async with working({"long": long}, intervals=Intervals(deadline_s=0.2)):
        await bench.until(job_id, "job.retrying")
    assert (await bench.payload(job_id, "job.retrying"))["error"] == "This took longer than it ever should."


async def test_work_that_completes_nothing_is_an_error(bench: Bench, working: Working) -> None:
    """A function that returns without a result does not look like success."""

    async def idle(_context: JobContext) -> None:
        """Forget to complete."""

    job_id = await bench.enqueue("idle")
    async with working({"idle": idle}):
        await bench.until(job_id, "job.retrying")
    assert (await bench.payload(job_id, "job.retrying"))["error"] == "The work ended without a result."


async def test_a_worker_survives_its_database_being_cut_off(bench: Bench, working: Working) -> None:
    """Every backend of the worker is terminated in the middle of a job; it claims again and completes."""
    long = Long()
    job_id = await bench.enqueue("twice")

    async def twice(context: JobContext) -> None:
        if context.attempt == 1:
            long.started.set()
            await asyncio.sleep(0.2)
        await echo(context)

    async with working({"twice": twice}):
        await _within(long.started.wait())
        await bench.admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name IN ('test-worker', 'worker-control') AND datname = current_database()"
        )
        await bench.until(job_id, "job.completed")
    assert (await bench.events(job_id)).count("job.completed") == 1


async def test_the_control_connection_comes_back(bench: Bench, working: Working) -> None:
    """After its backend was terminated a cancel is heard again, and one sent meanwhile is found."""
    long = Long()
    job_id = await bench.enqueue("long")
    async with working({"long": long}):
        await _within(long.started.wait())
        await bench.admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'worker-control' AND datname = current_database()"
        )
        await bench.cancel(job_id)
        await bench.until(job_id, "job.cancelled")


async def test_log_lines_of_a_job_carry_its_ids(bench: Bench, working: Working) -> None:
    """The correlation id of the request that queued it, and job, visit and tenant."""
    seen: dict[str, Any] = {}
    job_id = await bench.enqueue("look", correlation_id="phone-1")

    async def look(context: JobContext) -> None:
        seen.update(structlog.contextvars.get_contextvars())
        await echo(context)

    async with working({"look": look}):
        await bench.until(job_id, "job.completed")
    status = await bench.status(job_id)
    assert seen == {
        "correlation_id": "phone-1",
        "job_id": str(job_id),
        "visit_id": str(status["visit_id"]),
        "tenant_id": str(bench.tenant.id),
    }
