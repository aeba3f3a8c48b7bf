"""What was asked and what came of it."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.queue.floor import quantiles


class Line(NamedTuple):
    """One kind of request: how many, how often a second, and how long in ms."""

    kind: str
    number: int
    a_second: float
    p50: float
    p99: float
    statuses: str


class Ledger:
    """Every answer by its kind; `wrong` says in words what should not have been."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._statuses: dict[str, Counter[int]] = defaultdict(Counter)

    def note(self, kind: str, status: int, seconds: float) -> None:
        """Write an answer down."""
        self._seconds[kind].append(seconds)
        self._statuses[kind][status] += 1

    def complain(self, text: str) -> None:
        """Write down what is wrong."""
        self.wrong.append(text)

    def lines(self, seconds: float) -> Iterator[Line]:
        """Tell each kind over so many seconds, the most frequent first."""
        for kind, taken in sorted(self._seconds.items(), key=lambda item: -len(item[1])):
            told = " ".join(f"{status} x {count:,}" for status, count in sorted(self._statuses[kind].items()))
            yield Line(kind, len(taken), len(taken) / seconds, *quantiles(taken), told)
