"""Recordings that arrive while they are made: chunk by chunk, then joined into one medium."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.auth.idempotency import idempotent
from gateway.auth.principal import Principal
from gateway.context import Context, context_of
from gateway.http.body import declared_length, int_param, json_response, read_json, uuid_param
from gateway.uploads.finalize import finalize_upload
from gateway.uploads.upload_body import (
    LABEL_LENGTH,
    counted,
    declared_type,
    file_name,
    label,
    receiving,
    refuse_by_length,
    too_large,
)
from gateway.uploads.upload_limits import admit_chunk, require_chunk_fits
from gateway.uploads.uploads import Number
from store.errors import Conflict, InvalidInput, NotFound, RequestError
from store.media import media, recordings
from store.media.media import Draft
from store.media.recordings import LAST_SEQUENCE, Chunk
from store.objects import content
from store.objects.object_upload import StoredObject
from store.objects.objects import MEDIA_BYTES
from store.pool import Record
from store.tenants import tenants
from store.visits import visits

_PUBLIC = ("recording_id", "sequence", "file_size", "sha256")
# ADTS has no header but each frame's own: one file after another is a file again. An MP3 may begin with its length.
_JUST_APPENDED = "audio/aac"
# A gap report that fits a screen.
_GAPS_TOLD = 100


class Finalize(BaseModel):
    """A client's facts on a recording that is complete."""

    model_config = ConfigDict(extra="forbid")

    last_sequence: int | None = Field(None, strict=True, ge=0, le=LAST_SEQUENCE)
    accept_gaps: bool = False
    original_name: str = ""
    label: str = Field("", max_length=LABEL_LENGTH)
    sequence: Number = None
    duration_ms: Number = None


async def add_chunk(request: Request) -> Response:
    """Take one chunk as the raw body: 201, or 200 when its place already holds these bytes."""
    principal, context = await admit(request), context_of(request)
    chunk = _chunk(request, principal)
    refuse_by_length(request)
    await admit_chunk(context, principal, chunk, declared_length(request) or 1)
    async with receiving(request) as (head, chunks):
        chunk = chunk.recognised(head)
        bucket = context.objects.holding(chunk.kind.name)
        stored = await bucket.put_stream(chunk.storage_path, chunks, content_type=chunk.kind.name)
    try:
        row, created = await _enter(context, principal, chunk, stored)
    except RequestError:
        await bucket.discard(chunk.storage_path)
        raise
    if not created:
        await bucket.discard(chunk.storage_path)
    headers = {"location": f"/v1/visits/{chunk.visit_id}/recordings/{chunk.recording_id}"} if created else {}
    return json_response({name: row[name] for name in _PUBLIC}, 201 if created else 200, headers)


async def _enter(context: Context, principal: Principal, chunk: Chunk, stored: StoredObject) -> tuple[Record, bool]:
    """Give a stored chunk its row, if there is room still: several may have begun while there was."""
    async with context.tenant_locks.of(chunk.tenant_id), context.db.as_user(principal.claims) as conn:
        await tenants.lock_tenant(conn)
        row, created = await recordings.add(conn, chunk, stored)
        if created:
            await require_chunk_fits(context, conn, chunk, stored.size)
    return row, created


async def finalize(request: Request) -> Response:
    """Join the chunks into a medium under the recording's id: 201, or 200 when it is one already.

    Chunks that did not come, or cannot be heard without one that did not, are listed in a 409, unless `accept_gaps`.
    """
    principal, visit_id, recording_id = await _named(request)
    context, wish = context_of(request), await read_json(request, Finalize)
    async with context.db.as_user(principal.claims) as conn:
        await visits.get(conn, visit_id)
        known = await media.find(conn, recording_id)
        chunks = await recordings.chunks_of(conn, recording_id, visit_id)
    if known is not None and known["visit_id"] == visit_id:
        return json_response(media.public(known))
    _require_complete(chunks, wish)
    files = recordings.files_of(chunks)
    draft = _draft(principal, visit_id, recording_id, files[0][0], wish)
    stored = await _join(context, draft, files)
    forget = partial(recordings.forget_joined, chunks=chunks, recording_id=recording_id, visit_id=visit_id)
    row, created = await finalize_upload(context, principal, draft, stored, along=forget)
    await _discard(context, chunks)
    return json_response(media.public(row), 201 if created else 200, {"location": f"/v1/media/{row['id']}/content"})


async def drop(request: Request) -> Response:
    """Drop what has come of a recording that was discarded, and what comes still; a medium that it has become stays."""
    principal, visit_id, recording_id = await _named(request)
    context = context_of(request)
    async with context.db.as_user(principal.claims) as conn:
        chunks = await recordings.discard(conn, recording_id, visit_id)
    await _discard(context, chunks)
    return Response(status_code=204)


def _require_complete(chunks: Sequence[Record], wish: Finalize) -> None:
    if not chunks:
        raise NotFound("Nothing of this recording has come.")
    if sum(chunk["file_size"] for chunk in chunks) > MEDIA_BYTES:
        raise too_large()
    gaps = recordings.missing([chunk["sequence"] for chunk in chunks], wish.last_sequence)
    if gaps and not wish.accept_gaps:
        raise Conflict(
            f"{len(gaps)} chunks are missing. Send them, or finalize with accept_gaps.",
            code="recording_incomplete",
            missing=gaps[:_GAPS_TOLD],
            missing_count=len(gaps),
        )
    unheard = recordings.without_beginning(chunks)
    if len(unheard) < len(chunks) and unheard and not wish.accept_gaps:
        raise Conflict(
            f"The beginning of {len(unheard)} chunks is missing. Send it, or finalize with accept_gaps to drop them.",
            code="recording_incomplete",
            without_beginning=unheard[:_GAPS_TOLD],
        )


async def _join(context: Context, draft: Draft, files: list[list[Record]]) -> StoredObject:
    """Store the recording as one file; what is in one already is only put in a row."""
    objects, kind = context.objects, draft.kind.name
    if len(files) > 1 and kind != _JUST_APPENDED:
        async with AsyncExitStack() as opened:
            spools = [await opened.enter_async_context(objects.spooled(*map(_place, file))) for file in files]
            joined = await context.decoder.join(spools, kind, tenant=draft.tenant_id)
        return await objects.holding(kind).put_stream(draft.storage_path, _once(joined), content_type=kind)
    places = [_place(chunk) for file in files for chunk in file]
    async with aclosing(counted(_in_a_row(context, places))) as chunks:
        return await objects.holding(kind).put_stream(draft.storage_path, chunks, content_type=kind)


async def _discard(context: Context, chunks: Sequence[Record]) -> None:
    for content_type, key in map(_place, chunks):
        await context.objects.holding(content_type).discard(key)


def _place(chunk: Record) -> tuple[str, str]:
    return chunk["content_type"], chunk["storage_path"]


async def _in_a_row(context: Context, places: Sequence[tuple[str, str]]) -> AsyncGenerator[bytes, None]:
    for content_type, key in places:
        async with aclosing(context.objects.holding(content_type).chunks(key)) as chunks:
            async for chunk in chunks:
                yield chunk


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


def _chunk(request: Request, principal: Principal) -> Chunk:
    visit_id, recording_id = _ids(request)
    sequence = int_param(request.headers.get("x-sequence"), "x-sequence", low=0, high=LAST_SEQUENCE)
    if sequence is None:
        raise InvalidInput("Say in x-sequence which chunk of the recording this is.", field="x-sequence")
    key = media.new_key(principal.tenant_id, visit_id, recording_id)
    return Chunk(principal.tenant_id, visit_id, recording_id, sequence, key, declared_type(request.headers))


def _draft(principal: Principal, visit_id: UUID, recording_id: UUID, first: Record, wish: Finalize) -> Draft:
    return Draft(
        *(recording_id, principal.tenant_id, visit_id, media.new_key(principal.tenant_id, visit_id, recording_id)),
        declared_type=first["declared_type"],
        kind=content.ALL_TYPES[first["content_type"]],
        original_name=file_name(wish.original_name),
        label=label(wish.label),
        sequence=wish.sequence,
        duration_ms=wish.duration_ms,
        created_by=principal.user_id,
    )


async def _named(request: Request) -> tuple[Principal, UUID, UUID]:
    return await admit(request), *_ids(request)


def _ids(request: Request) -> tuple[UUID, UUID]:
    visit_id, recording_id = (uuid_param(request.path_params[name], name) for name in ("visit_id", "recording_id"))
    return visit_id, recording_id


_PATH = "/v1/visits/{visit_id}/recordings/{recording_id}"

routes = [
    Route(f"{_PATH}/chunks", add_chunk, methods=["POST"]),
    Route(f"{_PATH}/finalize", idempotent(finalize, in_one=False), methods=["POST"]),
    Route(_PATH, drop, methods=["DELETE"]),
]
