"""Whether a file may begin to come: how often, how much in all, and whether its id is free."""

from gateway.auth.principal import Principal
from gateway.context import Context
from gateway.http.limits.rate_limit_fields import note
from gateway.http.limits.rate_limiter import RateLimiter
from gateway.uploads.upload_body import too_large
from store.errors import Conflict, RatePolicy, TooMany
from store.media import media, recordings
from store.media.media import Draft
from store.media.recordings import Chunk
from store.objects.objects import MEDIA_BYTES
from store.pool import Connection, Record
from store.uploads import quota
from store.visits import visits

# A visit's hundred photos at once, twice; then faster than anybody takes them.
BURST = 300
PER_SECOND = 5
POLICY = RatePolicy("uploads", BURST, BURST // PER_SECOND)
# A recorder sends one every few seconds, and after an hour without signal all of them at once.
OF_A_CHUNK = 0.1


def upload_starts() -> RateLimiter:
    """Make the buckets that count each tenant's uploads."""
    return RateLimiter(burst=BURST, per_second=PER_SECOND)


async def admit_file(context: Context, principal: Principal, draft: Draft, size: int) -> Record | None:
    """Return the medium that already has this id, if any; else the file may come.

    Raises `TooMany`, `NotFound` without the visit, `Conflict` for an id of another visit, `TooLarge` without room.
    """
    _count(context, principal, 1)
    async with context.db.as_user(principal.claims) as conn:
        await visits.get(conn, draft.visit_id)
        row = await media.find(conn, draft.id)
        if row is None:
            await quota.require_room(conn, draft.id, size, default=context.settings.tenant_media_bytes)
    if row is not None and row["visit_id"] != draft.visit_id:
        raise Conflict("This media id is taken; choose a new one.", code="media_id_taken")
    return row


async def admit_chunk(context: Context, principal: Principal, chunk: Chunk, size: int) -> None:
    """Pass when a chunk of a recording may come.

    Raises as `admit_file` does, `Conflict` for a finished recording, `TooLarge` when its chunks would make no medium.
    """
    _count(context, principal, OF_A_CHUNK)
    async with context.db.as_user(principal.claims) as conn:
        await visits.get(conn, chunk.visit_id)
        await recordings.require_open(conn, chunk)
        await require_chunk_fits(context, conn, chunk, size)


async def require_chunk_fits(context: Context, conn: Connection, chunk: Chunk, size: int) -> None:
    """Pass when the recording with a chunk of this size makes a medium, and one that the tenant has room for.

    Raises `TooLarge`. As with `quota.require_room` the answer lasts while the tenant is held.
    """
    whole = await recordings.size_beside(conn, chunk) + size
    if whole > MEDIA_BYTES:
        raise too_large()
    await quota.require_room(conn, chunk.recording_id, whole, default=context.settings.tenant_media_bytes)


def _count(context: Context, principal: Principal, uploads: float) -> None:
    tenant = str(principal.tenant_id)
    if wait := context.upload_starts.wait(tenant, uploads):
        raise TooMany("Too many uploads were begun; wait a moment.", retry_after=wait, policy=POLICY)
    context.upload_starts.take(tenant, uploads)
    note(POLICY, *context.upload_starts.left(tenant))
