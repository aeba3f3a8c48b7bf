"""Tickets to a visit's stream, for an EventSource, which cannot send a header and repeats its address.

A ticket has to open a stream soon. From then on it resumes that stream until the token it stands for ends. Only hashes
are kept.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from store.pool import Connection
from store.queries import Queries

SQL = Queries("events/tickets")


async def issue(  # noqa: PLR0913 - the columns of a ticket, by name
    conn: Connection, *, ticket_hash: bytes, tenant_id: UUID, visit_id: UUID, claims: Mapping[str, Any], seconds: float
) -> None:
    """Keep a ticket that has to open a stream within `seconds`; `ticket_hash` is the sha256 of its secret."""
    await conn.execute(SQL.issue, ticket_hash, tenant_id, visit_id, claims, seconds)


async def use(conn: Connection, ticket_hash: bytes, visit_id: UUID, *, opens: bool) -> Mapping[str, Any] | None:
    """Return the verified claims that a ticket stands for; None when it is unknown, expired or for another visit.

    With `opens` it opens a stream, and is good for as long as its claims.
    """
    claims: Mapping[str, Any] | None = await conn.fetchval(SQL.use, ticket_hash, visit_id, opens)
    return claims
