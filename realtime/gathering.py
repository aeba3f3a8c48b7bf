"""Questions that come while others are asked, asked together: a crowd costs few round trips, and one costs no wait."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, cast

Question = TypeVar("Question")
Answer = TypeVar("Answer")

# Two, so that one slow answer does not hold up all who come after it.
ASKERS = 2
MOST = 64


class Gathering(Generic[Question, Answer]):
    """Asks for many by `ask`, which answers a list of questions in their order, or fails them all."""

    def __init__(self, ask: Callable[[list[Question]], Awaitable[list[Answer]]], *, most: int = MOST) -> None:
        self._ask = ask
        self._most = most
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._askers: set[asyncio.Task[None]] = set()

    def put(self, question: Question) -> "asyncio.Future[Answer]":
        """Have a question asked, by an asking that has not begun yet, and return where its answer will be."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if len(self._askers) < ASKERS and len(self._waiting) == 1:
            self._askers.add(asyncio.create_task(self._ask_all()))
        return future

    async def close(self) -> None:
        """Give up what is being asked, and what waits to be."""
        askers = list(self._askers)
        for asker in askers:
            asker.cancel()
        await asyncio.gather(*askers, return_exceptions=True)
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[: self._most]
                del self._waiting[: self._most]
                await self._ask_for(batch)
        finally:
            # In this same turn: whoever comes next must not count on one who has looked for the last time.
            self._askers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _ask_for(self, batch: list[tuple[Question, "asyncio.Future[Answer]"]]) -> None:
        try:
            answers = await self._ask([question for question, _ in batch])
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is theirs who asked
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():  # nobody waits any more
                    future.set_result(answer)
