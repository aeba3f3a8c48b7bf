"""Which function does which job type."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from config.settings import Settings
from jobs.kinds.registry import KINDS
from jobs.queue.kind import Task
from store.pool import Database


@asynccontextmanager
async def open_tasks(settings: Settings, db: Database) -> AsyncIterator[Mapping[str, Task]]:
    """Open what the tasks need and lend them, by job type."""
    async with AsyncExitStack() as opened:
        tasks = {kind.name: await opened.enter_async_context(kind.opens(settings, db)) for kind in KINDS}
        yield {name: task for name, task in tasks.items() if task is not None}
