"""Whether something leaks, by samples alone. Pure.

What can be counted (tasks, descriptors, connections) is compared at rest: after the traffic nobody may hold more than
after the warm-up, which was the same traffic, or than its pool may keep. Memory has no rest: its slope is judged.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.soak.samples.sample import Key, Sample
from benchmarks.soak.samples.slope import theil_sen

# A process that grows by this has 1.4 GB more after a day. Allocators and caches that still settle stay below it.
MOST_MIB_A_MINUTE = 1.0
# Some 100 bytes each: the same speed as Python's objects tell it, free of what allocators keep.
MOST_BLOCKS_A_MINUTE = 10_000.0
# Caches fill fast and then flatten, a leak goes on: the first part of the run is not looked at.
SETTLING = 1 / 3


@dataclass(frozen=True)
class Growth:
    """How one process's memory moved."""

    who: str
    what: str
    fresh: float
    warm: float
    end: float
    a_minute: float
    most: float

    @property
    def leaks(self) -> bool:
        """Whether it grows faster than settling explains."""
        return self.a_minute > self.most


def growths(
    fresh: Sample, warm: Sample, run: Sequence[Sample], end: Sample, *, theirs: Collection[str] = ()
) -> list[Growth]:
    """Tell of each process how its memory and its objects moved over the run; of `theirs` without a verdict."""
    judged = [sample for sample in run if sample.at >= run[0].at + (run[-1].at - run[0].at) * SETTLING]
    found = []
    for what, most in (("mib", MOST_MIB_A_MINUTE), ("blocks", MOST_BLOCKS_A_MINUTE)):
        rest: tuple[Mapping[str, float], ...] = tuple(getattr(sample, what) for sample in (fresh, warm, end))
        for who in rest[-1]:
            points = [(sample.at / 60, getattr(sample, what)[who]) for sample in judged if who in getattr(sample, what)]
            if len(points) > 1:
                limit = float("inf") if who in theirs else most
                moved = [one.get(who, 0.0) for one in rest]
                found.append(Growth(who, what, moved[0], moved[1], moved[2], theil_sen(points), limit))
    return found


def excess(warm: Sample, end: Sample, bounds: Mapping[Key, int]) -> dict[Key, tuple[int, int]]:
    """Return what is held at the end beyond what may be: (how many, how many may)."""
    allowed = {key: max(warm.held.get(key, 0), bounds.get(key, 0)) for key in end.held}
    return {key: (count, allowed[key]) for key, count in end.held.items() if count > allowed[key]}
