"""Webhook endpoints of any company, for operators at the command line."""

from datetime import datetime
from typing import Any
from uuid import UUID

from store.errors import Conflict, NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("webhooks/administration")


async def listed(conn: Connection, tenant_id: UUID | None) -> list[Record]:
    """Return (id, tenant_id, company, url, status, reason, failing_since, pending, failed), by company."""
    return await conn.fetch(SQL.listed, tenant_id)


async def send_test(conn: Connection, endpoint_id: UUID) -> UUID:
    """Queue a test event: its delivery. Raises `NotFound`, and `Conflict` where the endpoint is not active."""
    delivery_id: UUID = _done(await conn.fetchrow(SQL.test, endpoint_id))
    return delivery_id


async def redeliver(conn: Connection, endpoint_id: UUID, *, delivery: UUID | None, since: datetime | None) -> int:
    """Queue one delivery, or all failed ones since a time: how many. Raises as `send_test` does."""
    count: int = _done(await conn.fetchrow(SQL.redeliver, endpoint_id, delivery, since))
    return count


def _done(row: Record | None) -> Any:
    if row is None:
        raise NotFound("There is no such webhook endpoint.")
    if row["done"] is None:
        raise Conflict("The endpoint is not active; its company turns it on.", code="endpoint_not_active")
    return row["done"]
