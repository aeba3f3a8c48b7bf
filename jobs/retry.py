"""When to try again: pure, with the random source handed in."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")
Random = Callable[[], float]  # from 0 up to, not including, 1

BASE_SECONDS = 1.0
CAP_SECONDS = 16.0
JITTER = 0.3

RATE_LIMIT_SECONDS = 10.0  # when the provider did not say how long
QUOTA_SECONDS = 300.0  # somebody has to pay first; asking more often helps nobody
LONGEST_SNOOZE_SECONDS = 3600.0

ERROR_LENGTH = 1000


class Action(StrEnum):
    """What becomes of a job whose attempt failed."""

    RETRY = "retry"  # a later attempt, while there are any left
    SNOOZE = "snooze"  # a later attempt that costs none
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True)
class Verdict:
    """`delay_s` is None for a dead letter; `error` is a plain sentence."""

    action: Action
    delay_s: float | None
    error: str
    code: str


def backoff(attempt: int, random: Random = random.random) -> float:
    """Return the seconds to wait after the `attempt`-th try: 1, 2, 4, 8, 16, 16 ..., each times 0.7 to 1.3.

    The jitter may pass the cap: 20.8 s at most. Raises ValueError for an attempt below 1.
    """
    if attempt < 1:
        raise ValueError("attempts count from 1")
    # The exponent is capped too: 2.0 ** 2000 overflows.
    return min(BASE_SECONDS * 2.0 ** min(attempt - 1, 16), CAP_SECONDS) * _jittered(random)


def judge(error: BaseException, attempt: int, random: Random = random.random) -> Verdict:
    """Decide by what the error says of itself: `spends_attempt`, `retryable`, `retry_after_s`, `code`.

    An error that says nothing is ours and worth another attempt; its text stays in the log.
    """
    code = getattr(error, "code", None)
    if not isinstance(code, str):
        return Verdict(Action.RETRY, backoff(attempt, random), _unexpected(error), "internal_error")
    # PostgreSQL stores no U+0000.
    text = str(error).replace("\0", "")[:ERROR_LENGTH] or "No reason was given."
    retry_after: float | None = getattr(error, "retry_after_s", None)
    if not getattr(error, "spends_attempt", True) or (retry_after is not None and _retryable(error)):
        return Verdict(Action.SNOOZE, _snooze(error, retry_after, random), text, code)
    if _retryable(error):
        return Verdict(Action.RETRY, backoff(attempt, random), text, code)
    return Verdict(Action.DEAD_LETTER, None, text, code)


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


def _retryable(error: BaseException) -> bool:
    return bool(getattr(error, "retryable", True))


def _snooze(error: BaseException, retry_after: float | None, random: Random) -> float:
    """Never before the provider's own time, and not all at that same moment."""
    usual = RATE_LIMIT_SECONDS if _retryable(error) else QUOTA_SECONDS
    return min(retry_after if retry_after is not None else usual, LONGEST_SNOOZE_SECONDS) * (1 + JITTER * random())


def _jittered(random: Random) -> float:
    return 1 - JITTER + 2 * JITTER * random()


def _unexpected(error: BaseException) -> str:
    return f"Something went wrong on our side ({type(error).__name__})."
