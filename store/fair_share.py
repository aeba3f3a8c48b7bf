"""A fair share: a few slots of something scarce, lent to tenants so that none of them can hold all.

Invariants:

1. A tenant takes a slot only while it holds fewer than are free. Alone it gets half of them, two get a third each, and
   the next to come finds one free. (In switches this is the dynamic threshold of a shared buffer.)
2. A slot that is given back goes to the waiting tenant that holds fewest, among equals to the one that waits longest.
3. The queue is bounded by the same rule: a tenant takes a place in it only while it has fewer than are free.
4. Every wait ends within `seconds`. A slot lent at the moment of a timeout or a cancellation is given back.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import TypeVar

from store.errors import TooMany, Unavailable

Answer = TypeVar("Answer")

RETRY_SECONDS = 2.0


class FairShare:
    """Slots lent by tenant; for one event loop."""

    def __init__(self, slots: int, *, places: int, seconds: float) -> None:
        self._free = slots
        self._places = places
        self._seconds = seconds
        self._held: Counter[Hashable] = Counter()
        # Tenants in the order in which they are served next; each has at least one that waits.
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def slot(self, tenant: Hashable) -> AsyncIterator[None]:
        """Lend a slot while the block runs.

        Raises `TooMany` for a tenant that has its share already, `Unavailable` when the others hold everything.
        """
        await self._take(tenant)
        try:
            yield
        finally:
            self._give_back(tenant)

    async def until_done(self, tenant: Hashable, begin: "Callable[[], asyncio.Future[Answer]]") -> Answer:
        """Begin something that cannot be stopped, and hold a slot until it is done, also when the caller has left.

        Raises as `slot` does, and the errors of the future.
        """
        await self._take(tenant)
        try:
            work = begin()
        except BaseException:
            self._give_back(tenant)
            raise
        work.add_done_callback(lambda _: self._give_back(tenant))
        return await asyncio.shield(work)

    async def _take(self, tenant: Hashable) -> None:
        if self._held[tenant] < self._free:  # then nobody who waits holds as few
            self._lend(tenant)
            return
        turn = self._queue_up(tenant)
        try:
            async with asyncio.timeout(self._seconds):
                await turn
        except BaseException as error:
            self._leave(tenant, turn)
            if isinstance(error, TimeoutError):
                raise self._refusal(tenant) from None
            raise

    def _queue_up(self, tenant: Hashable) -> "asyncio.Future[None]":
        own = self._waiting.get(tenant, ())
        if len(own) >= self._places:
            raise self._refusal(tenant)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(turn)
        self._places -= 1
        return turn

    def _leave(self, tenant: Hashable, turn: "asyncio.Future[None]") -> None:
        if turn in self._waiting.get(tenant, ()):
            self._dequeue(tenant, turn)
        elif not turn.cancelled():  # lent in the same moment
            self._give_back(tenant)

    def _serve(self) -> None:
        """Lend the free slots to the waiting. If anybody may take a slot, the tenant that holds fewest may."""
        while self._waiting:
            tenant = min(self._waiting, key=self._held.__getitem__)
            if self._held[tenant] >= self._free:
                return
            turn = self._waiting[tenant][0]
            self._dequeue(tenant, turn)
            if not turn.cancelled():
                self._lend(tenant)
                turn.set_result(None)

    def _dequeue(self, tenant: Hashable, turn: "asyncio.Future[None]") -> None:
        turns = self._waiting.pop(tenant)
        turns.remove(turn)
        self._places += 1
        if turns:  # at the end: the other tenants come first
            self._waiting[tenant] = turns

    def _lend(self, tenant: Hashable) -> None:
        self._free -= 1
        self._held[tenant] += 1

    def _give_back(self, tenant: Hashable) -> None:
        self._free += 1
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]
        self._serve()

    def _refusal(self, tenant: Hashable) -> TooMany | Unavailable:
        if self._held[tenant] or tenant in self._waiting:
            detail = "Too much is under way for your company at the moment. Try again shortly."
            return TooMany(detail, retry_after=RETRY_SECONDS)
        return Unavailable("Too much is under way at the moment. Try again shortly.", retry_after=RETRY_SECONDS)
