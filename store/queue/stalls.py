"""Stalls: jobs that somebody watches and that do not move, as their streams are told."""

from collections.abc import Sequence

from store.pool import Connection
from store.queries import Queries

SQL = Queries("queue/stalls")


async def report(conn: Connection, visit_ids: Sequence[str]) -> int:
    """Tell the streams of these visits whose jobs stand still, and whose go on again; returns how many were told."""
    if not await conn.fetchval(SQL.may_be_stalled):
        return 0
    told: int = await conn.fetchval(SQL.report, visit_ids)
    return told
