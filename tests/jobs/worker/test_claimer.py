"""Claims of one worker: how often they look at the whole line."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from jobs.queue.intervals import Intervals
from jobs.worker.claimer import Claimer
from jobs.worker.executor import Executor
from jobs.worker.worker_metrics import WorkerMetrics
from tests.jobs.conftest import Bench


async def test_a_claim_looks_everywhere_every_second_or_two(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job whose transaction was long open is found within the time between two looks, and not an hour later."""
    now = 100.0
    looked: list[bool] = []

    async def claim(*_args: Any, everywhere: bool, **_more: Any) -> list[Any]:
        looked.append(everywhere)
        return []

    monkeypatch.setattr("jobs.worker.claimer.time.monotonic", lambda: now)
    monkeypatch.setattr("store.queue.jobs.claim", claim)
    intervals = Intervals(poll_s=(1.0, 2.0))
    executor = Executor(bench.service, {}, size=1, intervals=intervals, metrics=WorkerMetrics(CollectorRegistry(), []))
    one = Claimer(bench.service, executor, name="one", intervals=intervals)
    for moment in (100.0, 100.5, 100.9, 102.1, 102.5, 104.2):
        now = moment
        await one._claim(1)
    assert looked == [True, False, False, True, False, True]
