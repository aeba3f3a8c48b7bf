"""Questions that come while others are asked, asked together: a crowd costs few round trips, and one costs no wait."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, cast

Question = TypeVar("Question")
Answer = TypeVar("Answer")

# Two, so that one slow answer does not hold up all who come after it.
MAX_IN_FLIGHT = 2
MOST = 64


class QueryBatcher(Generic[Question, Answer]):
    """Asks for many by `ask`, which answers a list of questions in their order, or fails them all.

    A second asking begins beside the first when somebody has waited for `patience_s`: the more share a round trip,
    the less it costs each.
    """

    def __init__(
        self, ask: Callable[[list[Question]], Awaitable[list[Answer]]], *, most: int = MOST, patience_s: float = 0
    ) -> None:
        self._ask = ask
        self._most = most
        self._patience_s = patience_s
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._workers: set[asyncio.Task[None]] = set()
        self._late: asyncio.TimerHandle | None = None

    def put(self, question: Question) -> "asyncio.Future[Answer]":
        """Have a question asked, by an asking that has not begun yet, and return where its answer will be."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if not self._workers:
            self._start_worker()
        else:
            self._watch()
        return future

    async def close(self) -> None:
        """Give up the questions under way, and those that wait."""
        self._unwatch()
        workers = list(self._workers)
        for asker in workers:
            asker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                await self._ask_for(self._take())
        finally:
            # In this same turn: whoever comes next must not count on one who has looked for the last time.
            self._workers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _start_worker(self) -> None:
        self._workers.add(asyncio.create_task(self._ask_all()))

    def _take(self) -> list[tuple[Question, "asyncio.Future[Answer]"]]:
        batch = self._waiting[: self._most]
        del self._waiting[: self._most]
        self._unwatch()
        if self._waiting:
            self._watch()
        return batch

    def _watch(self) -> None:
        """See to it that the callers waiting now do not wait for one slow answer."""
        if self._late is None and len(self._workers) < MAX_IN_FLIGHT:
            self._late = asyncio.get_running_loop().call_later(self._patience_s, self._start_another)

    def _unwatch(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _start_another(self) -> None:
        self._late = None
        self._start_worker()

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
