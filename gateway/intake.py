"""The last step of every upload, whichever way it came: look at the stored object and give it its row."""

from config.logging import get_logger
from gateway.auth import Principal
from gateway.context import Context
from store import media
from store.content import Findings
from store.errors import SpineError, Unavailable
from store.media import Draft
from store.object_upload import StoredObject
from store.pool import Record

_log = get_logger(__name__)
# The signed URL a helper fetches by; it may have to wait for its turn.
_LOOK_TTL = 300


async def keep(
    context: Context, principal: Principal, draft: Draft, stored: StoredObject, *, promise: Record | None = None
) -> tuple[Record, bool]:
    """Make a medium of what is stored at the draft's key; returns its row and whether it is new.

    A file that cannot be opened is kept too, as one that needs attention. Without a row, the object goes again.
    """
    try:
        findings = await _look(context, draft)
        async with context.db.as_user(principal.claims) as conn:
            row, created = await media.insert(conn, draft, stored, findings)
            if promise is not None:
                await media.forget(conn, promise)
    except BaseException:
        await _drop_unless_kept(context, principal, draft)
        raise
    if row["storage_path"] != draft.storage_path:  # another attempt of the same id was first
        await context.objects.discard(draft.storage_path)
    return row, created


async def _look(context: Context, draft: Draft) -> Findings:
    url = await context.objects.presign_get(draft.storage_path, ttl=_LOOK_TTL, internal=True)
    try:
        return await context.decoder.check(url, draft.kind.name)
    except Unavailable:
        # The file is whole and its first bytes are right: better kept unseen than sent again from a roof.
        _log.warning("A file was kept without being opened", media_id=str(draft.id))
        return Findings()


async def _drop_unless_kept(context: Context, principal: Principal, draft: Draft) -> None:
    """Delete the object, unless the commit that failed to answer had gone through after all."""
    try:
        async with context.db.as_user(principal.claims) as conn:
            row = await media.find(conn, draft.id)
    except (SpineError, OSError):  # cannot be known now: an orphan costs its bytes, a lost file costs a site visit
        return
    if row is None or row["storage_path"] != draft.storage_path:
        await context.objects.discard(draft.storage_path)
