"""How often something took how long: plain counts, kept where it happens and read at each scrape."""

from bisect import bisect_left
from itertools import accumulate


class Histogram:
    """Counts of seconds by upper bound. One observation is a bisection and three additions."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, int]]:
        """Return (upper bound, how many took no longer), cumulative, as Prometheus has it; the last bound is +Inf."""
        return list(zip([*map(str, self._bounds), "+Inf"], accumulate(self._counts), strict=True))
