"""When one session waits for another: Postgres gives no signal, so it is asked."""

import asyncio

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
