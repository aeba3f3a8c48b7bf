"""An app's reports of its time offline, `upload_failed` with `attempts` above all: alert 2 counts those."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from store.errors import NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("visits/sync_events")


async def record(conn: Connection, visit_id: UUID, event: str, payload: Mapping[str, Any]) -> Record:
    """Keep one event of a visit the caller is known to have; tenant and user follow from visit and token."""
    row = await conn.fetchrow(SQL.insert_sync_event, visit_id, event, dict(payload))
    assert row is not None  # noqa: S101 - RETURNING of a plain INSERT
    return row


async def listed(
    conn: Connection, visit_id: UUID, limit: int, after: tuple[datetime, UUID] | None = None
) -> list[Record]:
    """Return the reports about a visit behind a position, newest first."""
    return await conn.fetch(SQL.sync_events_of_visit, visit_id, limit, *(after or (None, None)))


async def get(conn: Connection, visit_id: UUID, event_id: UUID) -> Record:
    """Return one report about a visit. Raises `NotFound`."""
    row = await conn.fetchrow(SQL.get_sync_event, visit_id, event_id)
    if row is None:
        raise NotFound("There is no such report.")
    return row
