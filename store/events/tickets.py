"""Single-use tickets to a visit's stream, for an EventSource, which cannot send a header. Only hashes are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from store.pool import Connection
from store.queries import Queries

SQL = Queries("events/tickets")


@dataclass(frozen=True)
class Ticket:
    """A ticket's content: the visit it opens and the verified claims it stands for."""

    tenant_id: UUID
    visit_id: UUID
    claims: Mapping[str, Any]


async def issue(  # noqa: PLR0913 - the columns of a ticket, by name
    conn: Connection, *, ticket_hash: bytes, tenant_id: UUID, visit_id: UUID, claims: Mapping[str, Any], seconds: float
) -> None:
    """Keep a ticket for `seconds`; `ticket_hash` is the sha256 of its secret."""
    await conn.execute(SQL.issue, ticket_hash, tenant_id, visit_id, claims, seconds)


async def take(conn: Connection, ticket_hash: bytes) -> Ticket | None:
    """Use a ticket up; None when it is unknown, used or expired."""
    row = await conn.fetchrow(SQL.take, ticket_hash)
    return None if row is None else Ticket(row["tenant_id"], row["visit_id"], row["claims"])
