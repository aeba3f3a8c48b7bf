"""An app's reports of its time offline, `upload_failed` with `attempts` above all: alert 2 counts those."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("visits/sync_events")


async def record(conn: Connection, visit_id: UUID, event: str, payload: Mapping[str, Any]) -> Record:
    """Keep one event of a visit the caller is known to have; tenant and user follow from visit and token."""
    row = await conn.fetchrow(SQL.insert_sync_event, visit_id, event, dict(payload))
    assert row is not None  # noqa: S101 - RETURNING of a plain INSERT
    return row
