"""When one session waits for another: Postgres gives no signal, so it is asked."""

import asyncio
from collections.abc import Awaitable, Callable

from store.pool import Connection

DEADLINE_SECONDS = 30.0
# Not by pg_stat_activity: within a transaction it does not show sessions that came since the first look.
WAITER = "SELECT pid FROM pg_locks WHERE NOT granted AND $1 = ANY (pg_blocking_pids(pid)) LIMIT 1"


async def until_somebody_waits_for(holder: int, asker: Connection) -> int:
    """Return which server process waits for a lock that `holder` holds, once one does; each look is a round trip."""
    waiter: int | None = None
    async with asyncio.timeout(DEADLINE_SECONDS):
        while waiter is None:
            waiter = await asker.fetchval(WAITER, holder)
    return waiter


async def until(check: Callable[[], Awaitable[bool]], seconds: float = DEADLINE_SECONDS) -> None:
    """Ask until the answer is yes. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - what is asked for tells nobody
            await asyncio.sleep(0)  # a check that asks only this process must let it hear
