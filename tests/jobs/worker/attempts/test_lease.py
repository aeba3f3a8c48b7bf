"""Keeping leases: who lost one is stopped, unless its own end is the reason."""

import time
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from jobs.queue.intervals import Intervals
from jobs.worker.attempts.attempt import StopReason
from jobs.worker.attempts.lease import LeaseKeeper
from jobs.worker.executor import Executor
from jobs.worker.worker_metrics import WorkerMetrics
from tests.jobs.conftest import Bench

INTERVALS = Intervals()


@pytest.fixture
async def waiting(bench: Bench) -> AsyncIterator[Executor]:
    """Give a executor without slots: what it takes on stays as it is until it is stopped."""
    executor = Executor(bench.service, {}, size=0, intervals=INTERVALS, metrics=WorkerMetrics(CollectorRegistry(), []))
    yield executor
    await executor.shut_down(0)


@pytest.mark.parametrize("database_away", [False, True])
async def test_a_job_whose_end_is_being_stored_is_not_called_lost(
    bench: Bench, waiting: Executor, monkeypatch: pytest.MonkeyPatch, *, database_away: bool
) -> None:
    """A renewal that finds a lease gone may only have come after the completion, whose answer is on its way."""
    for _ in range(2):
        await bench.enqueue()
    for row in await bench.claim(2):
        waiting.submit(row, time.monotonic() - 1)
    stored, lost = waiting.runs
    stored.leave_slot()
    await bench.admin.execute("UPDATE ai_jobs SET lease_token = gen_random_uuid()")
    if database_away:
        monkeypatch.setattr("store.queue.jobs.renew", _away)
    await LeaseKeeper(bench.service, waiting, INTERVALS).renew()
    assert (stored.stop_reason, lost.stop_reason) == (None, StopReason.LOST)


async def _away(*_: object) -> None:
    raise OSError("no route to the database")
