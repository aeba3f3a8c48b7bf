"""Jobs claimed a moment before there is a slot for them, so that a slot that falls free has its next job at once.

Pure but for the clock it is given. Invariants: never more jobs than the next 20 ms are expected to use, so a worker
with long jobs holds none; nothing stays longer than a second; a job in here has its lease like one that runs.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Run = TypeVar("Run")

# A claim beside the commits of others takes 5 to 12 ms, and slots fall free in waves. With 50 or 100 ms no more slots
# are kept at work, and other tenants' jobs wait behind what is held.
AHEAD_SECONDS = 0.02
# Past this the guess was wrong, and another worker may have a slot.
HOLD_SECONDS = 1.0
# How far back it is looked at how often slots fall free.
MEMORY_SECONDS = 1.0


class PrefetchBuffer(Generic[Run]):
    """The jobs that wait inside this worker, oldest first, and how many there should be."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._waiting: deque[tuple[float, Run]] = deque()
        self._per_second = 0.0
        self._counted_at = clock()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def size(self) -> int:
        """How many there should be."""
        return min(int(self._rate() * AHEAD_SECONDS), self._most)

    def count_freed(self) -> None:
        """Note that a slot has fallen free."""
        self._per_second = self._rate() + 1 / MEMORY_SECONDS
        self._counted_at = self._clock()

    def reset(self) -> None:
        """Expect nothing for a while: the expected jobs did not come."""
        self._per_second = 0.0

    def put(self, run: Run) -> None:
        """Let a claimed job wait."""
        self._waiting.append((self._clock(), run))

    def take(self) -> Run | None:
        """Return the job that has waited longest, if any waits."""
        return self._waiting.popleft()[1] if self._waiting else None

    def remove(self, run: Run) -> bool:
        """Let a job wait no more; false when it did not."""
        left = [entry for entry in self._waiting if entry[1] is not run]
        found = len(left) < len(self._waiting)
        self._waiting = deque(left)
        return found

    def overdue(self) -> list[Run]:
        """Return the jobs that have waited too long."""
        return [run for since, run in self._waiting if self._clock() - since >= HOLD_SECONDS]

    def _rate(self) -> float:
        return self._per_second * math.exp((self._counted_at - self._clock()) / MEMORY_SECONDS)
