"""Which function does which job type."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from config.settings import Settings
from jobs.kinds.estimate.pipeline import open_estimate
from jobs.worker.executor import Task
from store.pool import Database


@asynccontextmanager
async def open_tasks(settings: Settings, db: Database) -> AsyncIterator[Mapping[str, Task]]:
    """Open the resources of the tasks and lend them, by job type."""
    async with open_estimate(settings, db) as estimate:
        yield {"estimate": estimate}
