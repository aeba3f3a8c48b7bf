"""Site visits: a contractor opens one on arrival and everything else hangs on it."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from store.errors import Conflict, NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("visits/visits")


@dataclass(frozen=True)
class VisitFields:
    """A visit's fields; None is none of its own in a new visit, and no change in a changed one."""

    title: str | None = None
    customer_name: str | None = None
    address: str | None = None
    notes: str | None = None
    external_id: str | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True)
class VisitFilter:
    """Which visits a list holds; None is any."""

    statuses: Sequence[str] | None = None
    states: Sequence[str] | None = None
    customer: str | None = None
    updated_since: datetime | None = None
    text: str | None = None
    external_id: str | None = None


async def create(
    conn: Connection, *, tenant_id: UUID, user_id: UUID | None, fields: VisitFields | None = None
) -> Record:
    """Open a visit. Raises `Conflict`, with `visit_id`, for an external id that another visit has."""
    fields = fields or VisitFields()
    texts = (fields.title or "", fields.customer_name or "", fields.address or "", fields.notes or "")
    values = (tenant_id, user_id, *texts, fields.external_id, fields.metadata or {})
    try:
        async with conn.transaction() if fields.external_id else nullcontext():
            row = await conn.fetchrow(SQL.insert_visit, *values)
    except asyncpg.UniqueViolationError:
        raise await _taken(conn, tenant_id, fields) from None
    assert row is not None  # noqa: S101 - RETURNING of a plain INSERT
    return row


async def get(conn: Connection, visit_id: UUID) -> Record:
    """Return a visit. Raises `NotFound`, for another tenant's too."""
    return _found(await conn.fetchrow(SQL.get_visit, visit_id))


async def lock(conn: Connection, visit_id: UUID) -> Record:
    """Return a visit, and let nobody else change it before the transaction ends. Raises `NotFound`."""
    return _found(await conn.fetchrow(SQL.lock_visit, visit_id))


async def listed(
    conn: Connection, limit: int, after: tuple[datetime, UUID] | None = None, only: VisitFilter | None = None
) -> list[Record]:
    """Return visits behind a position (created_at, id), newest first, each with its `media_count`."""
    created_at, visit_id = after or (None, None)
    one = only or VisitFilter()
    chosen = (one.statuses, one.states, one.customer, one.updated_since, one.text, one.external_id)
    return await conn.fetch(SQL.list_visits, limit, created_at, visit_id, *chosen)


async def update(conn: Connection, visit_id: UUID, fields: VisitFields) -> Record:
    """Change the fields that are not None and return the visit.

    Raises `NotFound`, and `Conflict` as `create` does.
    """
    texts = (fields.title, fields.customer_name, fields.address, fields.notes)
    try:
        async with conn.transaction() if fields.external_id else nullcontext():
            row = await conn.fetchrow(SQL.update_visit, visit_id, *texts, fields.external_id, fields.metadata)
    except asyncpg.UniqueViolationError:
        raise await _taken(conn, (await get(conn, visit_id))["tenant_id"], fields) from None
    return _found(row)


async def _taken(conn: Connection, tenant_id: UUID, fields: VisitFields) -> Conflict:
    other = await conn.fetchval(SQL.visit_of_external_id, tenant_id, fields.external_id)
    detail = "Another visit has this external_id."
    return Conflict(detail, code="external_id_taken", visit_id=None if other is None else str(other))


def _found(row: Record | None) -> Record:
    if row is None:
        raise NotFound("There is no such visit.")
    return row
