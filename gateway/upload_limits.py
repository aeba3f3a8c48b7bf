"""Whether a file may begin to come: how often, how much in all, and whether its id is free."""

from gateway.auth import Principal
from gateway.buckets import Buckets
from gateway.context import Context
from store import media, quota, visits
from store.errors import Conflict, TooMany
from store.media import Draft
from store.pool import Record

# A visit's hundred photos at once, twice; then faster than anybody takes them.
BURST = 300
PER_SECOND = 5


def upload_starts() -> Buckets:
    """Make the buckets that count each tenant's uploads."""
    return Buckets(burst=BURST, per_second=PER_SECOND)


async def admit_file(context: Context, principal: Principal, draft: Draft, size: int) -> Record | None:
    """Return the medium that already has this id, if any; else the file may come.

    Raises `TooMany`, `NotFound` without the visit, `Conflict` for an id of another visit, `TooLarge` without room.
    """
    count_start(context, principal)
    async with context.db.as_user(principal.claims) as conn:
        await visits.get(conn, draft.visit_id)
        row = await media.find(conn, draft.id)
        if row is None:
            await quota.require_room(conn, draft.id, size, default=context.settings.tenant_media_bytes)
    if row is not None and row["visit_id"] != draft.visit_id:
        raise Conflict("This media id is taken; choose a new one.")
    return row


def count_start(context: Context, principal: Principal) -> None:
    """Count one upload of this tenant. Raises `TooMany` when there were too many lately."""
    tenant = str(principal.tenant_id)
    if wait := context.upload_starts.wait(tenant):
        raise TooMany("Too many uploads were begun; wait a moment.", retry_after=wait)
    context.upload_starts.take(tenant)
