"""When one session waits for another: Postgres gives no signal, so it is asked."""

import asyncio

from store.pool import Connection

DEADLINE_SECONDS = 30.0
# Not by pg_stat_activity: within a transaction it does not show sessions that came since the first look.
WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND $1 = ANY (pg_blocking_pids(pid)))"


async def until_somebody_waits_for(holder: int, asker: Connection) -> None:
    """Return once a session waits for a lock that server process `holder` holds; each look is a round trip."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await asker.fetchval(WAITS, holder):
            continue
