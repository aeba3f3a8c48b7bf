"""How fast something grows, told robustly. Pure."""

import statistics
from collections.abc import Sequence
from itertools import combinations


def theil_sen(points: Sequence[tuple[float, float]]) -> float:
    """Return the median slope over all pairs of points: a burst, or one step up, does not move it as a mean would.

    Raises ValueError when no two points differ in x.
    """
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 != x1]
    if not slopes:
        raise ValueError("a slope needs two points apart")
    return statistics.median(slopes)
