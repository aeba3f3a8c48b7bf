"""The kinds of jobs as the database knows them: a new job's row takes its kind's values from here."""

from collections.abc import Mapping, Sequence
from typing import Any

from store.pool import Connection
from store.queries import Queries

SQL = Queries("queue/kinds")


async def queue_ticks(conn: Connection, ticks: Sequence[Mapping[str, Any]]) -> int:
    """Queue the jobs of periodic kinds {name, every, since} that are due, as service_role; returns how many."""
    queued: int = await conn.fetchval(SQL.queue_ticks, list(ticks))
    return queued


async def register(conn: Connection, kinds: Sequence[Mapping[str, Any]]) -> None:
    """Write down kinds, each a row of `job_kinds`, as service_role; others stay. Unchanged ones are not written."""
    await conn.execute(SQL.register, list(kinds))
