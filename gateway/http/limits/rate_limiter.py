"""Token buckets: how often a client may be wrong, or a tenant begin an upload."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from store.errors import TooMany


class RateLimiter:
    """A bucket of `burst` tries for each key, filled again by `per_second`.

    It is this process's own: several gateways allow several times as much. At most `keys` are remembered; the one
    longest unused is forgotten first, which forgives it.
    """

    def __init__(
        self, *, burst: float, per_second: float, keys: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._per_second = per_second
        self._keys = keys
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, key: str, tries: float = 1) -> float:
        """Return the seconds until this key may try again; 0 when it may now."""
        return max(0.0, (tries - self._level(key)) / self._per_second)

    def left(self, key: str) -> tuple[int, int]:
        """Return how many tries this key has left, and the seconds until it has all of them again."""
        level = self._level(key)
        return max(0, int(level)), math.ceil((self._burst - level) / self._per_second)

    def take(self, key: str, tries: float = 1) -> None:
        """Spend one try of this key, or a part of one."""
        self._levels[key] = (self._level(key) - tries, self._clock())
        self._levels.move_to_end(key)
        if len(self._levels) > self._keys:
            self._levels.popitem(last=False)

    def __len__(self) -> int:
        return len(self._levels)

    def _level(self, key: str) -> float:
        level, since = self._levels.get(key, (self._burst, 0.0))
        return min(self._burst, level + (self._clock() - since) * self._per_second)


def spend(limiter: RateLimiter, key: str) -> None:
    """Take one try; raises `TooMany` when none is left."""
    if wait := limiter.wait(key):
        raise TooMany("Too many requests. Wait a moment and try again.", retry_after=wait)
    limiter.take(key)
