"""The events of a visit: written by anybody, numbered by the table's trigger, read by the relay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, TypeAlias
from uuid import UUID

from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("events/events")
# The driver takes both; streams have their ids as text, and to parse each again would be a part of what opening costs.
Id: TypeAlias = UUID | str


async def append(  # noqa: PLR0913 - the columns of an event, by name
    conn: Connection,
    *,
    tenant_id: UUID,
    visit_id: UUID,
    type: str,  # noqa: A002 - the column's name
    payload: Mapping[str, Any] | None = None,
    job_id: UUID | None = None,
) -> int:
    """Tell a visit's subscribers once the transaction commits; returns the event's seq."""
    seq: int = await conn.fetchval(SQL.append, visit_id, tenant_id, job_id, type, storable(payload or {}))
    return seq


async def after(conn: Connection, visit_id: UUID, position: int, limit: int = 500) -> list[Record]:
    """Return (seq, document) after `position`, in order: at most `limit`, and about a megabyte."""
    return await conn.fetch(SQL.after, visit_id, position, limit)


async def after_each(conn: Connection, asked: Sequence[tuple[Id, int]], limit: int = 500) -> list[list[Record]]:
    """Return the same for several pairs of visit and position, in one round trip."""
    found: list[list[Record]] = [[] for _ in asked]
    for row in await conn.fetch(SQL.after_each, *map(list, zip(*asked, strict=True)), limit):
        found[row["number"] - 1].append(row)
    return found


async def heads(conn: Connection, visit_ids: Sequence[UUID]) -> list[Record]:
    """Return (visit_id, last_seq, ended_by, enabled, epoch_ends) of the visits that exist."""
    return await conn.fetch(SQL.heads, visit_ids)


@dataclass(frozen=True)
class InitialStateQuery:
    """A tenant's question for the opening state of these visits' streams; with a user, for the tenant's members too."""

    tenant_id: Id
    user_id: Id | None
    visit_ids: Sequence[Id]
    snapshot: bool


async def initial_states(
    conn: Connection, tenant_id: Id, user_id: Id | None, visit_ids: Sequence[Id], *, snapshot: bool
) -> list[Record]:
    """Return the opening state of these visits' streams for this tenant, in the order asked for.

    Each is (visit_id, enabled, visible, last_seq, epoch_ends, job_id, ended_by, steps): whether the tenant has
    streams, whether the visit is its own, where its stream stands and, with `snapshot`, the steps its latest job has
    taken up to there. With a user, the first has the tenant's `members` too: 500 at most, this one if it is one.
    """
    [found] = await initial_states_of(conn, [InitialStateQuery(tenant_id, user_id, visit_ids, snapshot)])
    return found


async def initial_states_of(conn: Connection, asked: Sequence[InitialStateQuery]) -> list[list[Record]]:
    """Return the same for several questions, in one round trip."""
    columns: list[tuple[Id, Id | None, Id, bool]] = [
        (one.tenant_id, one.user_id if number == 0 else None, visit_id, one.snapshot)
        for one in asked
        for number, visit_id in enumerate(one.visit_ids)
    ]
    rows = iter(await conn.fetch(SQL.initial_states, *map(list, zip(*columns, strict=True))) if columns else ())
    return [list(islice(rows, len(one.visit_ids))) for one in asked]


async def at_work(conn: Connection, limit: int) -> list[UUID]:
    """Return the visits of the request's tenant that have a job waiting or running, the newest first."""
    return [row["visit_id"] for row in await conn.fetch(SQL.at_work, limit)]


async def non_members(
    conn: Connection, tenant_ids: Sequence[UUID], user_ids: Sequence[UUID], min_roles: Sequence[str]
) -> list[Record]:
    """Return those (tenant_id, user_id, min_role) of which the user has less than that role in the tenant."""
    return await conn.fetch(SQL.non_members, tenant_ids, user_ids, min_roles)


async def watch_rights(conn: Connection, visit_id: UUID) -> Record:
    """Return the request's rights: its tenant's `flags`, its user's `role` or None, the visit `visible`."""
    row = await conn.fetchrow(SQL.watch_rights, visit_id)
    assert row is not None  # noqa: S101 - a SELECT without FROM always answers
    return row


async def notify(conn: Connection, channel: str, text: str) -> None:
    """Send a message to every relay that listens on `channel`."""
    await conn.execute(SQL.notify, channel, text)


def storable(value: Any) -> Any:
    """Return a JSON value that jsonb takes: U+0000 and lone surrogates, which it refuses, become U+FFFD.

    A whole number beyond 64 bits, which our encoder refuses, becomes text.
    """
    match value:
        case str():
            return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case Mapping():
            return {storable(key): storable(item) for key, item in value.items()}
        case list() | tuple():
            return [storable(item) for item in value]
        case int() if not -(2**63) <= value < 2**64:
            return str(value)
        case _:
            return value


async def prune(conn: Connection, keep: timedelta, after: UUID | None, visits: int) -> tuple[UUID | None, int]:
    """Delete steps older than `keep` of up to `visits` visits, those after `after` by id.

    Returns the last visit looked at, None when there are no more, and how many events went.
    """
    row = await conn.fetchrow(SQL.prune, keep, after, visits)
    assert row is not None  # noqa: S101 - a function with OUT parameters always gives one row
    return row["last_visit"], row["removed"]
