"""The bin: deleted visits, which can be restored for some days and then go for good, their media too."""

from datetime import datetime
from uuid import UUID

import asyncpg

from store.errors import Conflict, Forbidden, NotFound
from store.objects.objects import ObjectStore
from store.pool import Connection, Database, Record
from store.queries import Queries

SQL = Queries("visits/deleted")

DAYS = 30
_NOT_THERE = "There is no such visit in the bin."


async def delete(conn: Connection, visit_id: UUID) -> datetime:
    """Put a visit into the bin and return when it goes for good. Raises `NotFound`.

    Its jobs are cancelled, its links revoked and its streams ended.
    """
    purge_at: datetime | None = await conn.fetchval(SQL.delete, visit_id, DAYS)
    if purge_at is None:
        raise NotFound("There is no such visit.")
    return purge_at


async def restore(conn: Connection, visit_id: UUID) -> None:
    """Take a visit out of the bin, and let the links hold that its deletion revoked.

    Raises `NotFound`, and `Conflict` where another visit has its external id by now.
    """
    try:
        async with conn.transaction():
            found = await conn.fetchval(SQL.restore, visit_id)
    except asyncpg.UniqueViolationError:
        raise Conflict("Another visit has this visit's external_id by now.", code="external_id_taken") from None
    if not found:
        raise NotFound(_NOT_THERE)


async def purge_now(conn: Connection, visit_id: UUID) -> None:
    """Let a visit in the bin go for good, within the hour. Raises `NotFound`, and `Forbidden` unless an admin asks."""
    if await conn.fetchval(SQL.purge_now, visit_id):
        return
    if not await conn.fetchval(SQL.has_admin):
        raise Forbidden("Only an owner or an administrator deletes for good.")
    raise NotFound(_NOT_THERE)


async def listed(conn: Connection, limit: int, after: tuple[datetime, UUID] | None = None) -> list[Record]:
    """Return visits in the bin behind a position (deleted_at, id), the last deleted first."""
    return await conn.fetch(SQL.deleted, limit, *(after or (None, None)))


async def purge(db: Database, objects: ObjectStore) -> int:
    """Delete the visits whose time in the bin is over, and return how many. `db` acts as service_role.

    A visit's objects go before its row, which still names them where the store fails: the next run goes on there.
    """
    gone, last = 0, None
    while True:
        async with db.as_system() as conn:
            due = await conn.fetch(SQL.due, last)
        if not due:
            return gone
        for visit in due:
            await delete_objects(objects, f"{visit['tenant_id']}/{visit['id']}/")
            async with db.as_system() as conn:
                await conn.execute(SQL.purge, visit["id"])
            gone += 1
        last = due[-1]["id"]


async def delete_objects(objects: ObjectStore, prefix: str) -> None:
    """Delete all objects under a prefix, of both buckets, and uploads to them that are not complete."""
    for bucket in (objects, objects.originals):
        for unfinished in await bucket.unfinished(prefix):
            await bucket.multipart.abort(unfinished.key, unfinished.upload_id)
        await bucket.delete(*await bucket.keys(prefix))
