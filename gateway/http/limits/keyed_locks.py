"""One at a time for each key in this process: a waiter holds no connection meanwhile."""

import asyncio
from collections.abc import Hashable
from weakref import WeakValueDictionary


class KeyedLocks:
    """Locks by key, each as long as somebody holds it or waits for it.

    Before a lock of the database's own: fifty uploads of one tenant that end at once would else wait for each other
    with every connection of the pool in their hands, and all other tenants for them.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def of(self, key: Hashable) -> asyncio.Lock:
        """Return the lock to be held: `async with locks.of(key)`."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock
