"""The last step of every upload, whichever way it came: look at the stored object and give it its row."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeAlias

from config.logging import get_logger
from config.tracing import visit_span
from gateway.auth.principal import Principal
from gateway.context import Context
from gateway.uploads.originals import Entry, discard_made, discard_moved, entries_of
from store.errors import Conflict, SpineError, TooMany, Unavailable, Unprocessable
from store.media import media
from store.media.media import Draft
from store.objects import content
from store.objects.content import Findings
from store.objects.object_upload import StoredObject
from store.objects.objects import ObjectStore
from store.objects.spool import Spool
from store.pool import Connection, Record
from store.tenants import tenants
from store.uploads import quota

Along: TypeAlias = Callable[[Connection], Awaitable[None]]

_log = get_logger(__name__)


async def measure(context: Context, draft: Draft, spool: Spool | None = None) -> StoredObject:
    """Look at the object at the draft's key: its size, its hash, and the result of opening it.

    The file is read once, when it is opened, and not at all when all that was stored is in `spool` still. Raises
    `NotFound`.
    """
    findings = await _look(context, draft, spool)
    if findings.size is None or findings.sha256 is None:
        return replace(await context.objects.holding(draft.kind.name).digest(draft.storage_path), findings=findings)
    return StoredObject(findings.size, findings.sha256, findings=findings)


async def head_of(bucket: ObjectStore, key: str) -> bytes:
    """Return an object's first bytes, enough to tell its type. Raises `NotFound`."""
    return await bucket.get_range(key, 0, content.HEAD_BYTES)


async def require_still(context: Context, draft: Draft) -> None:
    """Raise `Conflict` when the object at the draft's key is of another type than was found a moment ago elsewhere."""
    bucket = context.objects.holding(draft.kind.name)
    if draft.recognised(await head_of(bucket, draft.storage_path)).kind != draft.kind:
        raise Conflict("The file was replaced while it was looked at; complete the upload again.")


def require_as_announced(stored: StoredObject, announced: Record) -> None:
    """Raise `Unprocessable` when other bytes arrived than were announced by size, and by hash if there was one."""
    if stored.size != announced["file_size"]:
        raise Unprocessable(
            f"{announced['file_size']} bytes were announced and {stored.size} arrived.", code="file_unusable"
        )
    if announced["sha256"] not in (None, stored.sha256):
        raise Unprocessable("The bytes that arrived are not those whose hash was announced.", code="file_unusable")


async def finalize_upload(
    context: Context, principal: Principal, draft: Draft, stored: StoredObject, *, along: Along | None = None
) -> tuple[Record, bool]:
    """Enter a stored object as a medium; without a row, the object goes again."""
    try:
        return await insert_medium(context, principal, draft, stored, along=along)
    except BaseException:
        await _drop_unless_kept(context, principal, draft)
        raise


async def insert_medium(
    context: Context, principal: Principal, draft: Draft, stored: StoredObject, *, along: Along | None = None
) -> tuple[Record, bool]:
    """Make a medium of the object at the draft's key; returns its row and whether it is new.

    It is opened now unless it has been; a file that cannot be opened is entered too, as one that needs attention.
    `along` is written in its transaction. Raises `TooLarge` when the tenant has no room for it, and as `media.insert`
    does.
    """
    with visit_span("keep a medium", draft.visit_id, media_id=str(draft.id), kind=draft.kind.name):
        return await _insert_medium(context, principal, draft, stored, along)


async def _insert_medium(
    context: Context, principal: Principal, draft: Draft, stored: StoredObject, along: Along | None
) -> tuple[Record, bool]:
    findings = stored.findings or await _look(context, draft, stored.spool)
    entries = await entries_of(context, draft, stored, findings)
    try:
        row, created = await _insert(context, principal, entries, along)
    except BaseException:
        await _drop_made(context, principal, draft, entries)
        raise
    if row["storage_path"] == entries[0].draft.storage_path:
        await discard_moved(context, draft, entries)
    else:  # another attempt of the same id was first
        await discard_made(context, draft, entries)
        await context.objects.holding(draft.kind.name).discard(draft.storage_path)
    return row, created


async def _insert(
    context: Context, principal: Principal, entries: list[Entry], along: Along | None
) -> tuple[Record, bool]:
    """Enter a medium, and with it the picture of a video, unless somebody has removed the picture before."""
    (medium, *stills), draft = entries, entries[0].draft
    size = sum(entry.stored.size for entry in entries) + (draft.original.size if draft.original else 0)
    async with context.tenant_locks.of(draft.tenant_id), context.db.as_user(principal.claims) as conn:
        await tenants.lock_tenant(conn)
        if await media.find(conn, draft.id) is None:
            default = context.settings.tenant_media_bytes
            await quota.require_room(conn, draft.id, size, default=default)
        row, created = await media.insert(conn, draft, medium.stored, medium.findings)
        for still in stills if created else ():
            with suppress(Conflict):  # it is there since the last time
                await media.insert(conn, still.draft, still.stored, still.findings)
        if along is not None:
            await along(conn)
    return row, created


async def _look(context: Context, draft: Draft, spool: Spool | None = None) -> Findings:
    try:
        if spool is not None:
            return await context.decoder.check(spool, draft.kind.name, tenant=draft.tenant_id)
        async with context.objects.spooled((draft.kind.name, draft.storage_path)) as stored:
            return await context.decoder.check(stored, draft.kind.name, tenant=draft.tenant_id)
    except (TooMany, Unavailable):
        # The file is whole and its first bytes are right: better kept unseen than sent again from a roof.
        _log.warning("A file was kept without being opened", media_id=str(draft.id))
        return Findings()


async def _drop_unless_kept(context: Context, principal: Principal, draft: Draft) -> None:
    """Delete the object, unless the commit that failed to answer had gone through after all."""
    if not await _is_kept(context, principal, draft):
        await context.objects.holding(draft.kind.name).discard(draft.storage_path)


async def _drop_made(context: Context, principal: Principal, draft: Draft, entries: list[Entry]) -> None:
    if not await _is_kept(context, principal, draft):
        await discard_made(context, draft, entries)


async def _is_kept(context: Context, principal: Principal, draft: Draft) -> bool:
    try:
        async with context.db.as_user(principal.claims) as conn:
            row = await media.find(conn, draft.id)
    except (SpineError, OSError):  # cannot be known now: an orphan costs its bytes, a lost file costs a site visit
        return True
    return row is not None and draft.storage_path in (row["storage_path"], row["original_path"])
