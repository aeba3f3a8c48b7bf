"""When to try again."""

import asyncio
import errno
from itertools import product, repeat

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs.kinds.estimate.errors import (
    BadInput,
    EstimateError,
    MalformedAnswer,
    Misconfigured,
    NothingToEstimate,
    OverBudget,
    QuotaExhausted,
    RateLimited,
    Refused,
    Transient,
)
from jobs.queue.errors import JobCancelled, JobError, OutOfTime, UnknownJobType
from jobs.queue.retry import POLICY, Action, backoff, judge, retry_with_backoff
from store.errors import Unavailable
from tests.jobs.conftest import Admin

MIDDLE = 0.5  # the random number that gives no jitter


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 16), (5000, 16)])
def test_backoff_doubles_up_to_sixteen_seconds(attempt: int, seconds: float) -> None:
    """1, 2, 4, 8, 16, then 16 for ever."""
    assert backoff(attempt, lambda: MIDDLE) == pytest.approx(seconds)


@given(st.integers(1, 40), st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_thirty_percent(attempt: int, number: float) -> None:
    """The wait is the base times 0.7 to 1.3, so 20.8 s at most."""
    base = min(2 ** (attempt - 1), 16)
    assert 0.7 * base - 1e-9 <= backoff(attempt, lambda: number) <= 1.3 * base + 1e-9


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_count_from_one(attempt: int) -> None:
    """There is no wait before the first attempt."""
    with pytest.raises(ValueError, match="from 1"):
        backoff(attempt)


async def test_the_database_waits_as_long_as_we_do(admin: Admin) -> None:
    """The sweeper's formula in SQL is the formula in Python."""
    for attempt, number in product(range(1, 9), (0.0, 0.25, 0.999)):
        waited = await admin.fetchval("SELECT scopekit.backoff($1, $2)", attempt, number)
        assert waited.total_seconds() == pytest.approx(backoff(attempt, repeat(number).__next__), abs=1e-5)


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (Transient("timeout"), Action.RETRY),
        (MalformedAnswer("cut off"), Action.RETRY),
        (OutOfTime("too long"), Action.RETRY),
        (KeyError("bug"), Action.RETRY),
        (RateLimited("slow down", retry_after_s=7), Action.SNOOZE),
        (RateLimited("slow down"), Action.SNOOZE),
        (Transient("busy", retry_after_s=7), Action.SNOOZE),
        (QuotaExhausted("no credit"), Action.REST),
        (OverBudget("spent"), Action.DEAD_LETTER),
        (Refused("no"), Action.DEAD_LETTER),
        (Misconfigured("wrong key"), Action.DEAD_LETTER),
        (BadInput("bad"), Action.DEAD_LETTER),
        (NothingToEstimate("empty"), Action.DEAD_LETTER),
        (UnknownJobType("x"), Action.DEAD_LETTER),
        (Unavailable("the file store does not answer"), Action.SNOOZE),
        (asyncpg.AdminShutdownError("restart"), Action.SNOOZE),
        (asyncpg.TooManyConnectionsError("full"), Action.SNOOZE),
        (asyncpg.DiskFullError("full"), Action.SNOOZE),
        (asyncpg.InterfaceError("connection is closed"), Action.SNOOZE),
        (ConnectionResetError("peer"), Action.SNOOZE),
        (OSError(errno.ENOSPC, "no space"), Action.SNOOZE),
        (MemoryError(), Action.SNOOZE),
        (RedisConnectionError("away"), Action.SNOOZE),
        (asyncpg.UniqueViolationError("bug"), Action.RETRY),
        (FileNotFoundError(errno.ENOENT, "bug"), Action.RETRY),
        (JobCancelled("stop"), Action.DEAD_LETTER),
    ],
)
def test_an_error_says_what_becomes_of_its_job(error: Exception, action: Action) -> None:
    """The policy table, error by error."""
    verdict = judge(error, 1, lambda: MIDDLE)
    assert verdict.action is action
    assert (verdict.delay_s is None) == (action is Action.DEAD_LETTER)


def _leaves(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _leaves(child))]


def test_every_error_of_the_work_has_a_policy() -> None:
    """Both trees against the table: only their bases, which nobody raises by themselves, go by `retryable`."""
    codes = {error.code for base in (JobError, EstimateError) for error in _leaves(base)}  # type: ignore[attr-defined]
    assert codes - set(POLICY) == {"job_error", "estimate_failed", "engine_failed"}
    assert set(POLICY) <= codes


@given(st.floats(0.1, 3000), st.floats(0, 1, exclude_max=True))
def test_a_snooze_never_ends_before_the_providers_own_time(seconds: float, number: float) -> None:
    """Retry-After is a floor, with jitter above it."""
    delay = judge(RateLimited("slow down", retry_after_s=seconds), 1, lambda: number).delay_s
    assert delay is not None
    assert seconds <= delay <= seconds * 1.3 + 1e-9


def test_our_own_bugs_are_not_told_to_customers() -> None:
    """An unforeseen exception's text may hold anything; only its kind is stored."""
    verdict = judge(RuntimeError("password=hunter2"), 1)
    assert "hunter2" not in verdict.error
    assert "RuntimeError" in verdict.error
    assert verdict.code == "internal_error"


def test_a_message_can_always_be_stored() -> None:
    """PostgreSQL takes no U+0000, and nobody reads a megabyte."""
    text = judge(EstimateError("a\0b" + "x" * 5000), 1).error
    assert text.startswith("abx")
    assert len(text) == 1000


class Flaky:
    """Fails `times` times, then answers."""

    def __init__(self, times: int) -> None:
        self.left, self.calls, self.waits = times, 0, list[float]()

    async def __call__(self) -> str:
        """Fail or answer."""
        self.calls += 1
        if self.calls <= self.left:
            raise OSError(self.calls)
        return "done"

    async def sleep(self, seconds: float) -> None:
        """Note the wait instead of waiting."""
        self.waits.append(seconds)


async def test_the_helper_waits_between_tries() -> None:
    """Three failures cost 1 + 2 + 4 s."""
    flaky = Flaky(3)
    assert await retry_with_backoff(flaky, random=lambda: MIDDLE, sleep=flaky.sleep) == "done"
    assert flaky.waits == pytest.approx([1, 2, 4])


async def test_the_helper_raises_the_last_error_after_five_tries() -> None:
    """The fifth error comes out as it came, without a wait after it."""
    flaky = Flaky(9)
    with pytest.raises(OSError, match="5"):
        await retry_with_backoff(flaky, sleep=flaky.sleep)
    assert (flaky.calls, len(flaky.waits)) == (5, 4)


async def test_the_helper_lets_other_errors_through_at_once() -> None:
    """Only what it was told to wait out is waited out."""
    flaky = Flaky(9)
    with pytest.raises(OSError, match="1"):
        await retry_with_backoff(flaky, on=(asyncio.TimeoutError, KeyError), sleep=flaky.sleep)
    assert flaky.waits == []


def test_a_snooze_has_an_end() -> None:
    """A provider that asks for a year is asked again after an hour, give or take the jitter."""
    verdict = judge(RateLimited("slow down", retry_after_s=365 * 86400.0), 1, lambda: MIDDLE)
    assert verdict.delay_s == pytest.approx(3600 * 1.15)


@pytest.mark.parametrize(
    ("error", "refunds"),
    [
        (RateLimited("Too fast."), True),
        (QuotaExhausted("No credit."), True),
        (Unavailable("The store is away."), True),
        (Transient("Once more."), False),
        (Refused("Never."), False),
    ],
)
def test_what_is_not_the_job_s_fault_costs_no_attempt(error: Exception, refunds: bool) -> None:
    """A limit, an empty account and our own trouble give the attempt back; a failure does not."""
    assert judge(error, 1).refunds is refunds


def test_an_error_with_a_code_alone_is_tried_again() -> None:
    """Whoever says nothing of it is taken for one that passes."""

    class Coded(Exception):
        code = "of_its_own"

    assert judge(Coded("Hm."), 1).action is Action.RETRY
