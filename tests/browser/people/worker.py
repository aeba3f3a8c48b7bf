"""The worker behind the page, held in the middle of a run while a test looks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg


@asynccontextmanager
async def held_while_listening(admin: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[None]:
    """Keep any run from getting past its first recording, however fast it is: its checkpoint waits for this lock."""
    async with admin.transaction():
        await admin.execute("LOCK TABLE job_steps IN EXCLUSIVE MODE")
        yield
