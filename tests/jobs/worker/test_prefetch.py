"""The jobs a worker claims a moment early: how many, for how long, and that none of them is forgotten."""

import time
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from jobs.queue.intervals import Intervals
from jobs.worker.executor import Executor
from jobs.worker.prefetch import HOLD_SECONDS, PrefetchBuffer
from jobs.worker.worker_metrics import WorkerMetrics
from tests.jobs.conftest import Bench, Working
from tests.jobs.worker.test_worker import Long, echo


@dataclass
class Clock:
    """Time that stands still until it is moved."""

    now: float = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def _freed(prefetched: PrefetchBuffer[str], clock: Clock, *, per_second: int, seconds: int) -> None:
    for _ in range(per_second * seconds):
        clock.now += 1 / per_second
        prefetched.count_freed()


@pytest.mark.parametrize(("per_second", "size"), [(1, 0), (10, 0), (200, 4), (500, 10), (5000, 50)])
def test_the_reserve_is_what_the_next_moment_will_use(per_second: int, size: int) -> None:
    """Twenty milliseconds' worth, nothing where jobs take long, and never more than there are slots."""
    clock = Clock()
    prefetched = PrefetchBuffer[str](50, clock)
    _freed(prefetched, clock, per_second=per_second, seconds=10)
    assert size - 1 <= prefetched.size <= size + 1


def test_a_worker_that_came_to_rest_holds_nothing() -> None:
    """What was fast a while ago says nothing of now."""
    clock = Clock()
    prefetched = PrefetchBuffer[str](50, clock)
    _freed(prefetched, clock, per_second=500, seconds=5)
    clock.now += 10
    assert prefetched.size == 0


def test_a_wrong_guess_is_forgotten() -> None:
    """After it, only what is seen anew counts."""
    clock = Clock()
    prefetched = PrefetchBuffer[str](50, clock)
    _freed(prefetched, clock, per_second=500, seconds=5)
    prefetched.reset()
    assert prefetched.size == 0


def test_who_waits_is_taken_in_order_removed_or_overdue() -> None:
    """First in, first out; a job leaves once."""
    clock = Clock()
    prefetched = PrefetchBuffer[str](50, clock)
    for name in ("a", "b", "c"):
        prefetched.put(name)
        clock.now += HOLD_SECONDS / 2
    assert prefetched.overdue() == ["a", "b"]
    assert prefetched.remove("b")
    assert not prefetched.remove("b")
    assert [prefetched.take(), prefetched.take(), prefetched.take()] == ["a", "c", None]


async def test_a_job_in_the_reserve_is_cancelled_and_handed_back_like_one_that_runs(
    bench: Bench, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind work that holds the only slot: a cancel is carried out at once, a shutdown refunds the attempt."""
    monkeypatch.setattr("jobs.worker.prefetch.AHEAD_SECONDS", 1000.0)  # a few jobs a second are many
    monkeypatch.setattr("jobs.worker.prefetch.HOLD_SECONDS", 60.0)
    long = Long()
    quick = [await bench.enqueue("echo") for _ in range(5)]
    await bench.enqueue("long")
    first, second, *_rest = [await bench.enqueue("echo") for _ in range(5)]
    async with working({"echo": echo, "long": long}, intervals=Intervals(grace_s=0.0), worker_concurrency=1):
        await bench.until(first, "job.started")
        await bench.cancel(first)
        await bench.until(first, "job.cancelled")
        await bench.until(second, "job.started")
        assert long.started.is_set()
        assert not long.stopped.is_set()
    assert await bench.events(first) == ["job.queued", "job.started", "job.cancelled"]
    assert await bench.events(second) == ["job.queued", "job.started", "job.released"]
    assert (await bench.status(second))["attempts"] == 0
    assert {(await bench.status(job_id))["status"] for job_id in quick} == {"completed"}


async def test_a_job_that_waits_too_long_in_the_reserve_is_given_back(
    bench: Bench, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker may have a slot for it."""
    monkeypatch.setattr("jobs.worker.prefetch.AHEAD_SECONDS", 1000.0)
    monkeypatch.setattr("jobs.worker.prefetch.HOLD_SECONDS", 0.1)
    monkeypatch.setattr("jobs.worker.claimer.HOLD_SECONDS", 0.1)
    for _ in range(5):
        await bench.enqueue("echo")
    await bench.enqueue("long")
    first, *_rest = [await bench.enqueue("echo") for _ in range(5)]
    async with working({"echo": echo, "long": Long()}, intervals=Intervals(grace_s=0.0), worker_concurrency=1):
        await bench.until(first, "job.released")
    assert (await bench.events(first))[:3] == ["job.queued", "job.started", "job.released"]


async def test_a_cancel_that_comes_before_the_claim_has_answered_is_carried_out(bench: Bench) -> None:
    """The worker is told to cancel a job that it does not know yet: the job is stopped as it comes."""
    await bench.enqueue("echo")
    (row,) = await bench.claim()
    executor = Executor(
        bench.service, {"echo": echo}, size=1, intervals=Intervals(), metrics=WorkerMetrics(CollectorRegistry(), [])
    )
    executor.cancel(row["id"])
    executor.submit(row, time.monotonic() + 60)
    await bench.until(row["id"], "job.cancelled")
    assert "job.completed" not in await bench.events(row["id"])
