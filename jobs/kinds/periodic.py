"""Kinds that the clock queues: a tick is one job, whichever worker comes first; missed ones are caught up by one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeAlias

from config.settings import Settings
from jobs.queue.context import JobContext
from jobs.queue.kind import Kind, Subject, Task, UniqueBy
from store.pool import Connection, Database

Run: TypeAlias = Callable[[Settings, Connection], Awaitable[None]]


def periodic(name: str, every: timedelta, run: Run) -> Kind:
    """Return a kind whose work is one transaction, which also completes the job; a failed one is tried again."""

    @asynccontextmanager
    async def open_task(settings: Settings, _db: Database) -> AsyncIterator[Task]:
        async def task(ctx: JobContext) -> None:
            async def writes(conn: Connection) -> None:
                await run(settings, conn)

            await ctx.complete({}, writes)

        yield task

    return Kind(
        name,
        open_task,
        subject=Subject.NONE,
        unique_by=UniqueBy.KIND,
        share=0.0,
        retention=timedelta(days=1),
        every=every,
    )
