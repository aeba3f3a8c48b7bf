"""What our own database or file store refuses costs a job nothing: it waits, and goes on when they are back."""

import asyncio

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from jobs.queue import retry
from jobs.queue.context import JobContext
from jobs.queue.intervals import Intervals
from jobs.worker.attempts.attempt import JobAttempt, StopReason
from jobs.worker.attempts.lease import LeaseKeeper
from jobs.worker.attempts.settle import settle
from jobs.worker.executor import Executor
from jobs.worker.worker_metrics import Outcome, WorkerMetrics
from store.errors import Unavailable
from tests.jobs.conftest import Bench, Working


async def test_a_store_that_is_away_spends_no_attempt(
    bench: Bench, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses far more often than a job has attempts; then the job is done at its first."""
    monkeypatch.setattr(retry, "OWN_TROUBLE_SECONDS", 0.0)
    refused = 0

    async def work(ctx: JobContext) -> None:
        nonlocal refused
        if refused < 8:
            refused += 1
            raise Unavailable("The file store does not answer.")
        await ctx.complete({"attempt": ctx.attempt})

    job = await bench.enqueue("noop")
    async with working({"noop": work}, intervals=Intervals(poll_s=(0.05, 0.1))):
        assert await bench.until(job, "job.completed", "job.failed") == "job.completed"
    assert (await bench.status(job))["result"] == {"attempt": 1}


async def test_a_database_that_is_away_for_long_costs_no_attempt(bench: Bench) -> None:
    """The attempt was stopped as its lease may be another's by now; it is not, and the job goes back unharmed."""
    lease = await bench.running()
    row = await bench.row(lease.job_id)
    assert row is not None
    run = JobAttempt(bench.service, row, held_until=0.0)
    executor = Executor(
        bench.service, {}, size=0, intervals=Intervals(), metrics=WorkerMetrics(CollectorRegistry(), [])
    )
    executor._runs[run.job_id] = run
    LeaseKeeper(bench.service, executor, Intervals())._drop_overdue()
    assert (run.stop_reason, run.is_unconfirmed) == (StopReason.LOST, True)
    assert await settle(bench.service, run, None) is Outcome.RELEASED
    row = await bench.row(lease.job_id)
    assert row is not None
    assert (row["status"], row["attempts"], row["lost_leases"]) == ("queued", 0, 0)


async def test_an_outcome_waits_for_the_database(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is away for more tries than anything else is given; the outcome is recorded all the same."""
    lease = await bench.running()
    row = await bench.row(lease.job_id)
    assert row is not None
    run = JobAttempt(bench.service, row, held_until=0.0)
    away = 9
    fail = retry.backoff

    def hurry(attempt: int) -> float:
        return fail(attempt) / 1000

    async def record(*_args: object, **_more: object) -> str:
        nonlocal away
        away -= 1
        if away:
            raise asyncpg.CannotConnectNowError("the database system is starting up")
        return "queued"

    monkeypatch.setattr("jobs.worker.attempts.settle.backoff", hurry)
    monkeypatch.setattr("jobs.worker.attempts.settle.jobs.fail", record)
    async with asyncio.timeout(10):
        assert await settle(bench.service, run, KeyError("bug")) is Outcome.RETRIED
    assert away == 0
