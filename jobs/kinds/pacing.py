"""Pacing of receivers in one worker: one that is slow gets few of the slots, so that the others' deliveries go on."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# An answer that takes longer makes its receiver a slow one.
SLOW_SECONDS = 1.0
AT_ONCE = 2
KEPT = 1000
# The newest answer's weight in the average.
WEIGHT = 0.3


@dataclass
class _Pace:
    """The pace of a receiver; `seconds` is None before its first answer."""

    seconds: float | None = None
    under_way: int = 0
    booked_until: float = 0.0


class Pacer:
    """Admits deliveries to receivers. A slow or unknown receiver has `AT_ONCE` at a time.

    The rest are told when it is their turn by the receiver's own pace, so that thousands come back one after the other.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paces: OrderedDict[Hashable, _Pace] = OrderedDict()

    def wait_s(self, receiver: Hashable) -> float:
        """Return 0 where a delivery may begin now, else the seconds after which it is its turn, and book that turn."""
        pace = self._paces.get(receiver)
        if pace is None or pace.under_way < AT_ONCE or (pace.seconds is not None and pace.seconds < SLOW_SECONDS):
            return 0.0
        now = self._clock()
        pace.booked_until = max(now, pace.booked_until) + (pace.seconds or SLOW_SECONDS) / AT_ONCE
        return pace.booked_until - now

    @contextmanager
    def delivering(self, receiver: Hashable) -> Iterator[None]:
        """Count a delivery while it is under way, and learn how long it takes."""
        pace = self._paces.setdefault(receiver, _Pace())
        self._paces.move_to_end(receiver)
        pace.under_way += 1
        began = self._clock()
        try:
            yield
        finally:
            pace.under_way -= 1
            took = self._clock() - began
            pace.seconds = took if pace.seconds is None else pace.seconds + WEIGHT * (took - pace.seconds)
            self._forget_idle()

    def _forget_idle(self) -> None:
        while len(self._paces) > KEPT and next(iter(self._paces.values())).under_way == 0:
            self._paces.popitem(last=False)
