"""What an operator pauses stays paused; an engine that cannot work rests, and is tried again by one job."""

import asyncio
from datetime import timedelta

from jobs.kinds.estimate.errors import QuotaExhausted
from jobs.queue.context import JobContext
from jobs.queue.intervals import Intervals
from store.pool import Record
from store.queue import jobs, queue_control
from tests.jobs.conftest import MINUTE, Bench, Working
from tests.jobs.worker.test_worker import echo

ENGINE = "openai"
BASE = timedelta(minutes=5)


async def _claim(bench: Bench, limit: int = 10) -> list[Record]:
    async with bench.service.connection() as conn:
        return await jobs.claim(conn, limit, "bench", MINUTE, engine=ENGINE)


async def _states(bench: Bench) -> dict[str, str]:
    async with bench.db.as_system() as conn:
        return {switch["name"]: switch["state"] for switch in await queue_control.switches(conn)}


async def _open(bench: Bench) -> None:
    async with bench.service.as_system() as conn:
        await queue_control.open_breaker(conn, ENGINE, "No credit is left.", BASE)


async def _rested(bench: Bench) -> None:
    """Let the breaker's time be over."""
    await bench.admin.execute("UPDATE queue_control SET until = now() - interval '1 s'")


async def test_a_paused_queue_starts_nothing_until_it_is_resumed(bench: Bench) -> None:
    """`all` is every type; a resume of what is not paused says so."""
    job_id = await bench.enqueue("other")
    async with bench.service.as_system() as conn:
        await queue_control.pause(conn, queue_control.EVERYTHING, "rollback", None)
    assert await _claim(bench) == []
    assert await _states(bench) == {"all": "paused"}
    async with bench.service.as_system() as conn:
        assert await queue_control.resume(conn, queue_control.EVERYTHING)
        assert not await queue_control.resume(conn, queue_control.EVERYTHING)
    assert [row["id"] for row in await _claim(bench)] == [job_id]


async def test_an_open_breaker_rests_the_engine_and_nothing_else(bench: Bench) -> None:
    """Estimates wait, other jobs go on, and so does a worker with another engine."""
    estimate, other = await bench.enqueue(), await bench.enqueue("other")
    await _open(bench)
    assert [row["id"] for row in await _claim(bench)] == [other]
    assert await _states(bench) == {"engine:openai": "open"}
    assert [row["id"] for row in await bench.claim()] == [estimate]


async def test_a_half_open_breaker_lets_one_job_try(bench: Bench) -> None:
    """Of five waiting estimates one is the probe; when it completes the breaker closes and the rest go on."""
    for _ in range(5):
        await bench.enqueue()
    await _open(bench)
    await _rested(bench)
    assert await _states(bench) == {"engine:openai": "half_open"}
    (probe,) = await _claim(bench)
    assert await _claim(bench) == []
    async with bench.service.as_system() as conn:
        await jobs.complete(conn, jobs.Lease(probe["id"], probe["lease_token"]), {}, None)
        assert await queue_control.close_breaker(conn, ENGINE)
    assert len(await _claim(bench)) == 4
    assert await _states(bench) == {}


async def test_a_breaker_that_opens_again_stays_open_longer(bench: Bench) -> None:
    """Twice as long; jobs that fail together while it is open count once."""
    left = "SELECT round(extract(epoch FROM until - updated_at)) FROM queue_control"
    for _ in range(3):
        await _open(bench)
    first = await bench.admin.fetchval("SELECT until - now() FROM queue_control")
    assert first <= BASE
    await _rested(bench)
    await _open(bench)
    assert await bench.admin.fetchval(left) == 600


async def test_a_completion_while_it_is_open_does_not_close_it(bench: Bench) -> None:
    """That job may have asked the engine before."""
    await _open(bench)
    async with bench.service.as_system() as conn:
        assert not await queue_control.close_breaker(conn, ENGINE)
    assert await _states(bench) == {"engine:openai": "open"}


async def test_a_worker_whose_engine_has_no_credit_rests_it_until_a_probe_succeeds(
    bench: Bench, working: Working
) -> None:
    """The first refusal opens the breaker and costs no attempt; others wait, and go on when one has completed."""
    credit = asyncio.Event()

    async def estimate(context: JobContext) -> None:
        if not credit.is_set():
            raise QuotaExhausted("No credit is left.")
        await echo(context)

    refused = await bench.enqueue()
    tasks = {"estimate": estimate, "echo": echo}
    async with working(tasks, intervals=Intervals(poll_s=(0.1, 0.2)), worker_concurrency=1, estimate_engine=ENGINE):
        await bench.until(refused, "job.retrying")
        waiting = await bench.enqueue()
        await bench.until(await bench.enqueue("echo"), "job.completed")  # claimed after the estimate that waits
        assert await _states(bench) == {"engine:openai": "open"}
        assert await bench.events(waiting) == ["job.queued"]
        row = await bench.row(refused)
        assert row is not None
        assert (row["attempts"], row["error_code"]) == (0, "engine_quota_exhausted")
        credit.set()
        await _rested(bench)
        await bench.until(waiting, "job.completed")
        await bench.due(refused)
        await bench.until(refused, "job.completed")
    assert await _states(bench) == {}
