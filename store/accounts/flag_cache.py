"""The flags of tenants as this process knows them: read once, and again when somebody has changed them.

Invariants:
 1 What is answered was so at most `MAX_AGE_NOTIFIED` s ago, and while no notification arrives at most
   `MAX_AGE_UNNOTIFIED` s ago.
 2 What was read before a change was notified is not answered after it, however late the reading ends.
 3 What was read before the connection that listens was lost is not trusted once it is back.
 4 At most `MOST_TENANTS` are kept.
"""

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from config.flags import Flag, is_on
from store.accounts import flags
from store.pool import Database

# A NOTIFY is lost only with its connection, which the listeners notice within 2.5 s; this bounds what they do not.
MAX_AGE_NOTIFIED = 10.0
# A change takes effect within a second where LISTEN goes nowhere too.
MAX_AGE_UNNOTIFIED = 0.9
MOST_TENANTS = 10_000

Generation = Callable[[], int | None]


@dataclass(frozen=True)
class _Known:
    flags: Mapping[str, Any]
    read_at: float
    generation: int | None


class _Reading:
    overtaken = False


class FlagCache:
    """Asks `db` for a tenant's flags. `generation` is the listening connection's number, None while none listens."""

    def __init__(self, db: Database, generation: Generation, clock: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._generation = generation
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._readings: defaultdict[str, set[_Reading]] = defaultdict(set)

    async def is_on(self, tenant_id: UUID, flag: Flag) -> bool:
        """Tell whether a tenant's flag is on. Raises `Unavailable` when nobody knows."""
        return is_on(await self.flags(tenant_id), flag)

    async def flags(self, tenant_id: UUID) -> Mapping[str, Any]:
        """Return a tenant's nested flags; empty for one that has none. Raises `Unavailable`."""
        known = self._known.get(str(tenant_id))
        if known is not None and self._is_good(known):
            return known.flags
        return await self._read(tenant_id)

    def forget(self, tenant_id: str) -> None:
        """Take note that a tenant's flags have changed."""
        self._known.pop(tenant_id, None)
        for reading in self._readings.get(tenant_id, ()):
            reading.overtaken = True

    def _is_good(self, known: _Known) -> bool:
        generation = self._generation()
        is_notified = generation is not None and generation == known.generation
        return self._clock() - known.read_at < (MAX_AGE_NOTIFIED if is_notified else MAX_AGE_UNNOTIFIED)

    async def _read(self, tenant_id: UUID) -> Mapping[str, Any]:
        while True:
            generation, began = self._generation(), self._clock()
            with self._reading(str(tenant_id)) as reading:
                async with self._db.connection() as conn:
                    found = await flags.of_tenant(conn, tenant_id)
            if not reading.overtaken:  # else it may be what no longer holds
                break
        if found is None:  # nothing tells of a tenant that gets its first flags
            return {}
        self._known[str(tenant_id)] = _Known(found, began, generation)
        self._known.move_to_end(str(tenant_id))
        if len(self._known) > MOST_TENANTS:
            self._known.popitem(last=False)
        return found

    @contextmanager
    def _reading(self, tenant_id: str) -> Iterator[_Reading]:
        reading = _Reading()
        readings = self._readings[tenant_id]
        readings.add(reading)
        try:
            yield reading
        finally:
            readings.discard(reading)
            if not readings:
                self._readings.pop(tenant_id, None)
