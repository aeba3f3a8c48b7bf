"""What a client tells, in one form for all of them."""

import asyncio
from collections.abc import Callable
from typing import Any

SECONDS = 30.0


class Heard:
    """A growing list of `{hello}`, `{type, id}`, `{end}` and `{stopped: status}`; the last comes when it gives up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.words: list[dict[str, Any]] = []
        self._changed = asyncio.Condition()

    @property
    def seqs(self) -> list[int]:
        """The seq of each event, in the order they came."""
        return [int(word["id"]) for word in self.words if word.get("type", "snapshot") != "snapshot"]

    def all(self, key: str) -> list[Any]:
        """Return what was said under a key."""
        return [word[key] for word in self.words if key in word]

    async def tell(self, word: dict[str, Any]) -> None:
        """Add a word."""
        self.words.append(word)
        async with self._changed:
            self._changed.notify_all()

    async def until(self, wanted: Callable[["Heard"], object]) -> None:
        """Wait until `wanted` is true; fails with what there is."""
        try:
            async with asyncio.timeout(SECONDS), self._changed:
                await self._changed.wait_for(lambda: wanted(self))
        except TimeoutError:
            raise AssertionError(f"{self.name} told no more than {self.words[-8:]}") from None
