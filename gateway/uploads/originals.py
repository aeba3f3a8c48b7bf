"""A stored file becomes a medium as it is, or media of our types with the original beside."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid5

from config.logging import get_logger
from store.errors import TooMany, Unavailable, Unprocessable
from store.media.decoder.media_client import TOO_HARD
from store.media.media import Original
from store.objects.content import ALL_TYPES, TYPES
from store.objects.object_upload import StoredObject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from gateway.context import Context
    from store.media.media import Draft
    from store.objects.content import ContentType, Converted, Findings
    from store.objects.spool import Spool

_log = get_logger(__name__)


@dataclass(frozen=True)
class Entry:
    """One medium to be entered, whose bytes lie at its draft's key."""

    draft: Draft
    stored: StoredObject
    findings: Findings


def still_id(media_id: UUID) -> UUID:
    """Return the id of the picture that is taken from a video: the same each time."""
    return uuid5(media_id, "still")


async def entries_of(context: Context, draft: Draft, stored: StoredObject, findings: Findings) -> list[Entry]:
    """Turn the object at the draft's key into media of our types, if it is of another; the medium itself is first.

    A file that cannot be turned just now is kept as it came: it can be heard and seen from there. Raises `Unavailable`.
    """
    kind = ALL_TYPES[findings.really] if findings.really else draft.kind
    as_it_is = [Entry(draft, stored, findings)]
    if kind.is_stored or findings.problem is not None:
        return as_it_is
    try:
        async with _spool(context, draft, stored) as spool:
            made = await context.decoder.convert(spool, kind.name, tenant=draft.tenant_id)
    except Unprocessable as error:
        problem = None if error.detail == TOO_HARD else error.detail
        return [Entry(draft, stored, replace(findings, problem=problem))]
    except (TooMany, Unavailable):
        _log.warning("A file was kept without being converted", media_id=str(draft.id))
        return as_it_is
    entries = _planned(draft, kind, stored, findings, made)
    try:
        await _store(context, draft, kind, entries, made)
    except BaseException:
        await discard_made(context, draft, entries)
        raise
    return entries


async def discard_made(context: Context, draft: Draft, entries: list[Entry]) -> None:
    """Delete the media made of a file; the file itself stays where it was stored first."""
    made = [entry.draft.storage_path for entry in entries if entry.draft.storage_path != draft.storage_path]
    await context.objects.discard(*made)
    if made and draft.kind.is_stored:
        await context.objects.originals.discard(draft.storage_path)


async def discard_moved(context: Context, draft: Draft, entries: list[Entry]) -> None:
    """Delete a file from where it was stored first, if its original lies elsewhere by now."""
    if draft.kind.is_stored and entries[0].draft.storage_path != draft.storage_path:
        await context.objects.discard(draft.storage_path)


def _planned(
    draft: Draft, kind: ContentType, stored: StoredObject, findings: Findings, made: list[Converted]
) -> list[Entry]:
    medium, *stills = made
    original = Original(draft.storage_path, kind.name, stored.size, stored.sha256)
    first = replace(draft.at_new_key(), kind=TYPES[medium.content_type], original=original)
    note = findings.note or medium.findings.note
    entries = [Entry(first, _counted(medium), replace(medium.findings, note=note))]
    for still in stills:
        picture = replace(draft, id=still_id(draft.id), kind=TYPES[still.content_type], duration_ms=None)
        entries.append(Entry(picture.at_new_key(), _counted(still), still.findings))
    return entries


async def _store(
    context: Context, draft: Draft, kind: ContentType, entries: list[Entry], made: list[Converted]
) -> None:
    objects = context.objects
    if draft.kind.is_stored:  # its first bytes did not tell that it is no such sound
        path = draft.storage_path
        await objects.originals.copy(path, path, content_type=kind.name, of=objects)
    for entry, part in zip(entries, made, strict=True):
        await objects.put(entry.draft.storage_path, part.body, content_type=part.content_type)


def _counted(part: Converted) -> StoredObject:
    return StoredObject(len(part.body), hashlib.sha256(part.body).hexdigest())


@asynccontextmanager
async def _spool(context: Context, draft: Draft, stored: StoredObject) -> AsyncIterator[Spool]:
    if stored.spool is not None:
        yield stored.spool
        return
    async with context.objects.spooled((draft.kind.name, draft.storage_path)) as spool:
        yield spool
