"""When to try again: pure, with the random source handed in."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from jobs.queue.own_trouble import CODE as OWN_TROUBLE_CODE
from jobs.queue.own_trouble import SECONDS as OWN_TROUBLE_SECONDS
from jobs.queue.own_trouble import is_own_trouble

T = TypeVar("T")
Random = Callable[[], float]  # from 0 up to, not including, 1

BASE_SECONDS = 1.0
CAP_SECONDS = 16.0
JITTER = 0.3

RATE_LIMIT_SECONDS = 10.0  # when the provider did not say how long
QUOTA_SECONDS = 300.0  # somebody has to pay first; asking more often helps nobody
LONGEST_SNOOZE_SECONDS = 3600.0

ERROR_LENGTH = 1000
OWN_TROUBLE = "Something of ours does not answer just now. This goes on by itself."


class Action(StrEnum):
    """The fate of a job after a failed attempt."""

    RETRY = "retry"  # a later attempt, while there are any left
    SNOOZE = "snooze"  # a later attempt that costs none
    REST = "rest"  # the same, and the engine's breaker opens: no other job runs into the same wall
    DEAD_LETTER = "dead_letter"


# By the error's `code`, whoever raised it. A retryable error that names its own time (Retry-After) snoozes instead; a
# code that is not here goes by the error's `retryable`.
POLICY: Mapping[str, Action] = MappingProxyType(
    {
        "engine_unavailable": Action.RETRY,  # timeout, connection, 5xx
        "engine_malformed_answer": Action.RETRY,
        "engine_rate_limited": Action.SNOOZE,
        "engine_quota_exhausted": Action.REST,
        "engine_over_budget": Action.DEAD_LETTER,
        "engine_refused": Action.DEAD_LETTER,
        "engine_misconfigured": Action.DEAD_LETTER,
        "bad_input": Action.DEAD_LETTER,
        "medium_unusable": Action.DEAD_LETTER,
        "nothing_to_estimate": Action.DEAD_LETTER,
        "unknown_job_type": Action.DEAD_LETTER,
        "turned_off": Action.SNOOZE,
        "cancelled": Action.DEAD_LETTER,
        "out_of_time": Action.RETRY,
        "no_result": Action.RETRY,
        "lease_lost": Action.RETRY,
        "receiver_away": Action.SNOOZE,
        "not_delivered": Action.RETRY,
        "mail_not_taken": Action.RETRY,
        "delivery_refused": Action.DEAD_LETTER,
    }
)
_USUAL_SECONDS = {Action.SNOOZE: RATE_LIMIT_SECONDS, Action.REST: QUOTA_SECONDS}


@dataclass(frozen=True)
class Verdict:
    """`delay_s` is None for a dead letter; `error` is a plain sentence."""

    action: Action
    delay_s: float | None
    error: str
    code: str

    @property
    def refunds(self) -> bool:
        """Whether the attempt did not count."""
        return self.action in (Action.SNOOZE, Action.REST)


def backoff(attempt: int, random: Random = random.random, *, cap_s: float = CAP_SECONDS) -> float:
    """Return the seconds to wait after the `attempt`-th try: 1, 2, 4, 8, 16, 16 ..., each times 0.7 to 1.3.

    The jitter may pass the cap: 20.8 s at most. Raises ValueError for an attempt below 1.
    """
    if attempt < 1:
        raise ValueError("attempts count from 1")
    # The exponent is capped too: 2.0 ** 2000 overflows.
    return min(BASE_SECONDS * 2.0 ** min(attempt - 1, 16), cap_s) * _jittered(random)


def judge(error: BaseException, attempt: int, random: Random = random.random, *, cap_s: float = CAP_SECONDS) -> Verdict:
    """Decide by `POLICY` and by the error's own fields: `code`, `retryable`, `retry_after_s`.

    Our own trouble costs no attempt. Another error that says nothing is worth another one; its text stays in the log.
    """
    if is_own_trouble(error):
        return Verdict(Action.SNOOZE, _snooze(OWN_TROUBLE_SECONDS, random), OWN_TROUBLE, OWN_TROUBLE_CODE)
    code = getattr(error, "code", None)
    if not isinstance(code, str):
        return Verdict(Action.RETRY, backoff(attempt, random, cap_s=cap_s), _unexpected(error), "internal_error")
    # PostgreSQL stores no U+0000.
    text = str(error).replace("\0", "")[:ERROR_LENGTH] or "No reason was given."
    action = POLICY.get(code) or (Action.RETRY if getattr(error, "retryable", True) else Action.DEAD_LETTER)
    asked_s: float | None = getattr(error, "retry_after_s", None)
    if action is Action.RETRY and asked_s is not None:
        action = Action.SNOOZE
    match action:
        case Action.DEAD_LETTER:
            return Verdict(action, None, text, code)
        case Action.RETRY:
            return Verdict(action, backoff(attempt, random, cap_s=cap_s), text, code)
    return Verdict(action, _snooze(_USUAL_SECONDS[action] if asked_s is None else asked_s, random), text, code)


async def retry_with_backoff(
    action: Callable[[], Awaitable[T]],
    *,
    attempts: int = 5,
    on: tuple[type[Exception], ...] = (Exception,),
    random: Random = random.random,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """Try up to `attempts` times, waiting `backoff` in between; the last error is raised as it came."""
    for attempt in range(1, attempts):
        try:
            return await action()
        except on:
            await sleep(backoff(attempt, random))
    return await action()


def _snooze(seconds: float, random: Random) -> float:
    """Never before the provider's own time, and not all at that same moment."""
    return min(seconds, LONGEST_SNOOZE_SECONDS) * (1 + JITTER * random())


def _jittered(random: Random) -> float:
    return 1 - JITTER + 2 * JITTER * random()


def _unexpected(error: BaseException) -> str:
    return f"Something went wrong on our side ({type(error).__name__})."
