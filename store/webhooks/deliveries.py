"""Deliveries as a worker makes them, and their log's end."""

from datetime import timedelta
from uuid import UUID

from store.pool import Connection, Record
from store.queries import Queries
from store.webhooks.sender import Answer

SQL = Queries("webhooks/deliveries")

KEEP = timedelta(days=30)
# An endpoint that has failed for so long is paused.
PATIENCE = timedelta(days=3)
# Longer than an answer may take: then another delivery asks.
PROBE = timedelta(seconds=20)
FORGET_AT_ONCE = 5000


async def read(conn: Connection, delivery_id: UUID) -> Record | None:
    """Return a delivery with its event, endpoint and signing keys; None once it is gone."""
    return await conn.fetchrow(SQL.read, delivery_id)


async def begin_probe(conn: Connection, delivery: Record) -> bool:
    """Take it upon this delivery to ask an endpoint that is away; False where another has."""
    return await conn.fetchval(SQL.begin_probe, delivery["endpoint_id"], PROBE) is not None


async def note_taken(conn: Connection, delivery: Record, answer: Answer) -> None:
    """Note that the receiver took it."""
    await _note(conn, delivery, "delivered", answer)
    await conn.execute(SQL.note_working, delivery["endpoint_id"])


async def note_failure(conn: Connection, delivery: Record, answer: Answer, wait: timedelta) -> bool:
    """Note that it was not taken, and when its endpoint is asked again; tell whether the endpoint is still active."""
    await _note(conn, delivery, "pending", answer)
    status = await conn.fetchval(SQL.note_failure, delivery["endpoint_id"], delivery["failures"], wait, PATIENCE)
    return bool(status == "active")


async def note_gone(conn: Connection, delivery: Record, answer: Answer) -> None:
    """Note an answer 410: the endpoint is disabled."""
    await _note(conn, delivery, "failed", answer)
    await conn.execute(SQL.disable, delivery["endpoint_id"])


async def give_up(conn: Connection, delivery_id: UUID) -> None:
    """Note that it is tried no more, until somebody asks for it again."""
    await conn.execute(SQL.give_up, delivery_id)


async def notice(conn: Connection, endpoint_id: UUID, user_id: UUID) -> Record | None:
    """Return (email, company, url) for an owner who is to hear that an endpoint is paused; None where it is not so."""
    return await conn.fetchrow(SQL.notice, endpoint_id, user_id)


async def forget(conn: Connection) -> int:
    """Delete events that are older than `KEEP`, some at a time; how many."""
    count: int = await conn.fetchval(SQL.forget, KEEP, FORGET_AT_ONCE)
    return count


async def _note(conn: Connection, delivery: Record, state: str, answer: Answer) -> None:
    await conn.execute(SQL.note_answer, delivery["id"], state, answer.status, answer.ms, answer.error)
