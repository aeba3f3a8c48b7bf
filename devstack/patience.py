"""Patience: a wait that lasts as long as something moves, up to a quarter of an hour."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_S = 900.0


class Patience:
    """Is over when `progress()` has been the same for `still_s` seconds, and after `MOST_S` in any case."""

    def __init__(
        self, still_s: float, progress: Callable[[], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._still_s = still_s
        self._progress = progress
        self._clock = clock
        self._last = progress()
        self._began_at = self._moved_at = clock()

    def is_over(self) -> bool:
        """Look once."""
        now, progress = self._clock(), self._progress()
        if progress != self._last:
            self._last, self._moved_at = progress, now
        return now - self._moved_at > self._still_s or now - self._began_at > MOST_S
