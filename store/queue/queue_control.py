"""Switches of the queue: an operator's pauses, and the breakers of engines that cannot work."""

from datetime import datetime, timedelta
from typing import Any

from store.pool import Connection
from store.queries import Queries

SQL = Queries("queue/queue_control")

# Every job type at once.
EVERYTHING = "all"


async def pause(conn: Connection, name: str, reason: str, until: datetime | None) -> None:
    """Claim no jobs of this type any more, or none at all for `all`; running jobs go on. For operators."""
    await conn.execute(SQL.pause, name, reason, until)


async def resume(conn: Connection, name: str, reason: str = "") -> bool:
    """Claim them again; False when they were not paused. An engine's breaker is closed the same way. For operators."""
    return bool(await conn.fetchval(SQL.resume, name, reason))


async def hold(conn: Connection, name: str, reason: str) -> None:
    """Pause for good; a pause with an end is kept until `release`, one for good stays as it is. For operators."""
    await conn.execute(SQL.hold, name, reason)


async def release(conn: Connection, name: str, reason: str = "") -> bool:
    """End a hold; True when a pause that was kept goes on. For operators."""
    return bool(await conn.fetchval(SQL.release, name, reason))


async def switches(conn: Connection) -> list[dict[str, Any]]:
    """Return {name, state, reason, until} of all that rests; state is paused, open, half_open or over."""
    return [dict(row) for row in await conn.fetch(SQL.switches)]


async def open_breaker(conn: Connection, engine: str, reason: str, base: timedelta) -> datetime:
    """Start no job of this engine for `base`, longer each time; returns when one may try."""
    until: datetime = await conn.fetchval(SQL.open_breaker, engine, reason, base)
    return until


async def close_breaker(conn: Connection, engine: str) -> bool:
    """Tell that the one that tried has succeeded; False when nothing was half open."""
    return bool(await conn.fetchval(SQL.close_breaker, engine))
