"""Completes jobs that write no rows of their own: jobs that finish while one commit is under way share the next one."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from store.pool import Database
from store.queue import jobs
from store.queue.jobs import Completion, Done, Lease

# One statement's worth: 128 jobs are some 10 ms of the database's time, and wait for each other's locks no longer.
BATCH_MOST = 128
# A transaction elsewhere holds the visit; the others of the batch are completed, and this one is asked for again.
BUSY_SECONDS = 0.1


@dataclass(frozen=True)
class _Asked:
    done: Done
    answer: asyncio.Future[Completion] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Completer:
    """All completions of one process, each fenced by its own lease; a batch commits as a whole."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: list[_Asked] = []
        self._writing: asyncio.Task[None] | None = None

    async def complete(
        self, lease: Lease, result: Mapping[str, Any], analytics: Mapping[str, Any] | None
    ) -> Completion:
        """Store result, final event and analytics; returns when they are committed. Raises the database's errors."""
        asked = _Asked(Done(lease, result, analytics))
        self._put(asked)
        return await asked.answer

    def _put(self, asked: _Asked) -> None:
        self._waiting.append(asked)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH_MOST], self._waiting[BATCH_MOST:]
                if wanted := [asked for asked in batch if not asked.answer.done()]:
                    await self._commit(wanted)
        finally:
            self._writing = None

    async def _commit(self, batch: Sequence[_Asked]) -> None:
        try:
            answers = await self._ask([asked.done for asked in batch])
        except asyncpg.DataError as error:  # one result cannot be stored; its neighbours can
            if len(batch) == 1:
                _refuse(batch, error)
                return
            for asked in batch:
                await self._commit([asked])
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait for the answer
            _refuse(batch, error)
        else:
            for asked in batch:
                if asked.answer.done():  # its work was cancelled meanwhile
                    continue
                if answers[asked.done.lease] == "busy":
                    asyncio.get_running_loop().call_later(BUSY_SECONDS, self._put, asked)
                else:
                    asked.answer.set_result(answers[asked.done.lease])

    async def _ask(self, done: Sequence[Done]) -> dict[Lease, Completion]:
        async with self._db.connection() as conn:
            return await jobs.complete_many(conn, done)


def _refuse(batch: Sequence[_Asked], error: Exception) -> None:
    for asked in batch:
        if not asked.answer.done():
            asked.answer.set_exception(error)
