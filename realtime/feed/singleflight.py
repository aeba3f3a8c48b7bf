"""Readings under way, by their question: the same question asked twice at once is one reading."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class SingleFlight(Generic[Answer]):
    """Shares a reading until its callers have gone on, two turns of the loop after its end.

    A caller that comes before that shares it: the result is not yet where it would find it without asking.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Future[Answer]] = {}
        self._over: list[Hashable] = []

    def share(self, key: Hashable, begin: "Callable[[], asyncio.Future[Answer]]") -> Awaitable[Answer]:
        """Return the answer of the reading under way, else of one that is begun; nobody's leaving is another's."""
        reading = self._under_way.get(key)
        if reading is None:
            reading = self._under_way[key] = begin()
            reading.add_done_callback(lambda _: self._end(key))
        return asyncio.shield(reading)

    async def close(self) -> None:
        """Give up the readings under way."""
        readings = list(self._under_way.values())
        for reading in readings:
            reading.cancel()
        await asyncio.gather(*readings, return_exceptions=True)

    def _end(self, key: Hashable) -> None:
        if not self._over:  # one for all that end in a turn
            asyncio.get_running_loop().call_soon(self._forget_soon)
        self._over.append(key)

    def _forget_soon(self) -> None:
        over, self._over = self._over, []
        asyncio.get_running_loop().call_soon(self._forget, over)

    def _forget(self, keys: list[Hashable]) -> None:
        for key in keys:
            self._under_way.pop(key, None)
