"""A company's webhook endpoints, and the log of their deliveries, for its administrators."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from store.errors import Conflict, Forbidden, NotFound
from store.pool import Connection, Record
from store.queries import Queries
from store.webhooks import signature

SQL = Queries("webhooks/endpoints")

MOST = 20
# Both secrets sign for a day: time to put the new one in place.
OVERLAP = timedelta(days=1)


@dataclass(frozen=True)
class Endpoint:
    """An endpoint's settings. `status` is active, paused or disabled; `reason` is empty when active."""

    url: str
    description: str
    event_types: Sequence[str]
    status: str = "active"
    reason: str = ""


async def create(conn: Connection, new: Endpoint) -> tuple[UUID, str]:
    """Make an endpoint: its id and its secret. Raises `Forbidden`, and `Conflict` where there are `MOST`."""
    secret = signature.new_secret()
    row = await conn.fetchrow(SQL.create, new.url, new.description, [*new.event_types], secret, MOST)
    if row is None:
        raise Forbidden("Only an owner or an administrator makes webhook endpoints.")
    if row["id"] is None:
        raise Conflict(f"A company has at most {MOST} webhook endpoints.", code="too_many_endpoints")
    return row["id"], signature.text_of(secret)


async def listed(conn: Connection) -> list[Record]:
    """Return all of the request's company, the newest first."""
    return await conn.fetch(SQL.listed)


async def read(conn: Connection, endpoint_id: UUID) -> Record:
    """Return one. Raises `NotFound`."""
    return _found(await conn.fetchrow(SQL.read, endpoint_id))


async def change(conn: Connection, endpoint_id: UUID, new: Endpoint) -> Record:
    """Change one. Raises `NotFound`."""
    values = (new.url, new.description, [*new.event_types], new.status, new.reason)
    return _found(await conn.fetchrow(SQL.change, endpoint_id, *values))


async def remove(conn: Connection, endpoint_id: UUID) -> None:
    """Delete one with its log. Raises `NotFound`."""
    _found(await conn.fetchrow(SQL.remove, endpoint_id))


async def rotate(conn: Connection, endpoint_id: UUID) -> str:
    """Make a new secret; the one before signs too for `OVERLAP`. Raises `NotFound`."""
    secret = signature.new_secret()
    if not await conn.fetchval(SQL.rotate, endpoint_id, secret, OVERLAP):
        raise NotFound("There is no such webhook endpoint.")
    return signature.text_of(secret)


async def send_test(conn: Connection, endpoint_id: UUID) -> UUID:
    """Queue a test event: its delivery. Raises `NotFound`, and `Conflict` where the endpoint is not active."""
    await read(conn, endpoint_id)
    delivery_id: UUID | None = await conn.fetchval(SQL.test, endpoint_id)
    if delivery_id is None:
        raise _inactive()
    return delivery_id


async def redeliver(conn: Connection, endpoint_id: UUID, *, since: datetime) -> int:
    """Queue all failed deliveries made at this time or later: how many. Raises as `send_test` does."""
    await read(conn, endpoint_id)
    count: int | None = await conn.fetchval(SQL.redeliver, endpoint_id, None, since)
    if count is None:
        raise _inactive()
    return count


async def redeliver_one(conn: Connection, endpoint_id: UUID, delivery_id: UUID) -> None:
    """Queue one delivery again, under the same id; one on its way goes on. Raises as `send_test` does."""
    await read_delivery(conn, endpoint_id, delivery_id)
    if await conn.fetchval(SQL.redeliver, endpoint_id, delivery_id, None) is None:
        raise _inactive()


async def deliveries(
    conn: Connection, endpoint_id: UUID, limit: int, after: UUID | None = None, states: Sequence[str] | None = None
) -> list[Record]:
    """Return an endpoint's log, the newest first. Raises `NotFound`."""
    await read(conn, endpoint_id)
    return await conn.fetch(SQL.deliveries, endpoint_id, states, after, limit)


async def read_delivery(conn: Connection, endpoint_id: UUID, delivery_id: UUID) -> Record:
    """Return one delivery with its event. Raises `NotFound`."""
    row = await conn.fetchrow(SQL.delivery, endpoint_id, delivery_id)
    if row is None:
        raise NotFound("There is no such delivery of this endpoint.")
    return row


def _found(row: Record | None) -> Record:
    if row is None:
        raise NotFound("There is no such webhook endpoint.")
    return row


def _inactive() -> Conflict:
    return Conflict("The endpoint is not active: set its status to `active` first.", code="endpoint_not_active")
