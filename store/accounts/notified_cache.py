"""A process's cache of database rows, invalidated when NOTIFY says that they have changed.

Invariants:
 1 An answer was true at most `MAX_AGE_NOTIFIED` s ago, and while no notification arrives at most
   `MAX_AGE_UNNOTIFIED` s ago.
 2 A value read before a change was notified is not answered after it, however late the reading ends.
 3 A value read before the listening connection was lost is not trusted once it is back.
 4 At most `MOST_KEYS` are kept, and nothing is kept of a key without a row.
"""

import time
from abc import ABC, abstractmethod
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from store.pool import Connection, Database

# A NOTIFY is lost only with its connection, which the listeners notice within 2.5 s; this bounds what they do not.
MAX_AGE_NOTIFIED = 10.0
# A change takes effect within a second where LISTEN goes nowhere too.
MAX_AGE_UNNOTIFIED = 0.9
MOST_KEYS = 10_000

Generation = Callable[[], int | None]
Value = TypeVar("Value")


@dataclass(frozen=True)
class _Known(Generic[Value]):
    value: Value
    read_at: float
    generation: int | None


class _Reading:
    overtaken = False


class NotifiedCache(ABC, Generic[Value]):
    """Asks `db` for a key's value. `generation` is the listening connection's number, None while none listens."""

    def __init__(self, db: Database, generation: Generation, clock: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._generation = generation
        self._clock = clock
        self._known: OrderedDict[str, _Known[Value]] = OrderedDict()
        self._readings: defaultdict[str, set[_Reading]] = defaultdict(set)

    @abstractmethod
    async def _look(self, conn: Connection, key: str) -> Value | None:
        """Read a key's value; None when there is no row."""

    def forget(self, key: str) -> None:
        """Take note that a key's row has changed."""
        self._known.pop(key, None)
        for reading in self._readings.get(key, ()):
            reading.overtaken = True

    async def _get(self, key: str) -> Value | None:
        """Return a key's value; None when there is no row. Raises `Unavailable`."""
        known = self._known.get(key)
        if known is not None and self._is_good(known):
            return known.value
        return await self._read(key)

    def _is_good(self, known: _Known[Value]) -> bool:
        generation = self._generation()
        is_notified = generation is not None and generation == known.generation
        return self._clock() - known.read_at < (MAX_AGE_NOTIFIED if is_notified else MAX_AGE_UNNOTIFIED)

    async def _read(self, key: str) -> Value | None:
        while True:
            generation, began = self._generation(), self._clock()
            with self._reading(key) as reading:
                async with self._db.connection() as conn:
                    found = await self._look(conn, key)
            if not reading.overtaken:  # else it may be what no longer holds
                break
        if found is None:
            return None
        self._known[key] = _Known(found, began, generation)
        self._known.move_to_end(key)
        if len(self._known) > MOST_KEYS:
            self._known.popitem(last=False)
        return found

    @contextmanager
    def _reading(self, key: str) -> Iterator[_Reading]:
        reading = _Reading()
        readings = self._readings[key]
        readings.add(reading)
        try:
            yield reading
        finally:
            readings.discard(reading)
            if not readings:
                self._readings.pop(key, None)
