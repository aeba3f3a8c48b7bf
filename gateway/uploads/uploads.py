"""The ways a file gets in: posted through us, or posted straight to the store and then verified."""

import hashlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Annotated
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.auth.idempotency import idempotent
from gateway.auth.principal import Principal
from gateway.context import context_of
from gateway.http.body import declared_length, json_response, read_json, uuid_param
from gateway.uploads.finalize import finalize_upload, head_of, measure, require_as_announced, require_still
from gateway.uploads.upload_body import (
    LABEL_LENGTH,
    called,
    declared_type,
    file_name,
    label,
    media_id_of,
    numbers,
    receiving,
    refuse_by_length,
    words,
)
from gateway.uploads.upload_limits import admit_file
from store.errors import Conflict, NotFound, RequestError
from store.media import media
from store.media.media import Draft
from store.objects import content
from store.objects.objects import MEDIA_BYTES
from store.pool import Record
from store.tenants import tenants
from store.uploads import quota

# From asking for a form to its first byte; a large file may take longer to arrive.
FORM_SECONDS = 900

Number = Annotated[int | None, Field(strict=True, ge=0, le=2**31 - 1)]


class PresignRequest(BaseModel):
    """A client's facts on a file that it wants to send straight to the store."""

    model_config = ConfigDict(extra="forbid")

    content_type: str
    file_size: int = Field(strict=True, ge=1, le=MEDIA_BYTES)
    media_id: UUID | None = None
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    original_name: str = ""
    label: str = Field("", max_length=LABEL_LENGTH)
    sequence: Number = None
    duration_ms: Number = None


async def upload(request: Request) -> Response:
    """Take a file as the raw body: 201 with the new medium, 200 when this id already holds these bytes."""
    principal, visit_id = await _admit(request)
    context, draft = context_of(request), _draft_of_headers(request, principal, visit_id)
    refuse_by_length(request)
    known = await admit_file(context, principal, draft, declared_length(request) or 1)
    async with receiving(request) as (head, chunks):
        if known is not None:
            return json_response(media.public(media.require_same(known, visit_id, await _sha256(chunks))))
        draft = draft.recognised(head)
        bucket = context.objects.holding(draft.kind.name)
        async with bucket.uploading(draft.storage_path, chunks, content_type=draft.kind.name) as stored:
            return _answer(*await finalize_upload(context, principal, draft, stored))


async def presign(request: Request) -> Response:
    """Give a form to post one file straight to the store: {media_id, url, fields, expires_at}."""
    principal, visit_id = await _admit(request)
    context, wish = context_of(request), await read_json(request, PresignRequest)
    draft = _draft_of_wish(wish, principal, visit_id)
    if await admit_file(context, principal, draft, wish.file_size) is not None:
        raise Conflict("This media id already holds a file; choose a new one.", code="media_id_taken")
    expires_at = (int(time.time()) + FORM_SECONDS) * 1000
    ttl = timedelta(seconds=FORM_SECONDS)
    async with context.db.as_user(principal.claims) as conn:
        await tenants.lock_tenant(conn)  # many who ask at once are promised no more room than there is
        await quota.require_room(conn, draft.id, wish.file_size, default=context.settings.tenant_media_bytes)
        key = await media.promise(conn, draft, file_size=wish.file_size, sha256=wish.sha256, ttl=ttl)
    form = await context.objects.holding(draft.kind.name).presign_post(
        key, content_type=draft.kind.name, max_bytes=wish.file_size, ttl=FORM_SECONDS
    )
    answer = {"media_id": draft.id, "url": form.url, "fields": form.fields, "expires_at": expires_at}
    return json_response(answer, 201, {"location": f"/v1/media/{draft.id}"})


async def complete(request: Request) -> Response:
    """Verify an object that a form stored, and make a medium of it: 201, or 200 when it already is one."""
    principal, visit_id = await _admit(request)
    context, media_id = context_of(request), uuid_param(request.path_params["media_id"], "media_id")
    async with context.db.as_user(principal.claims) as conn:
        known = await media.find(conn, media_id)
        if known is not None and known["visit_id"] == visit_id:
            return json_response(media.public(known))
        promise = await media.promised(conn, media_id, visit_id)
    # The form stays good for a while: what is verified must lie where its holder can no longer replace it.
    draft = Draft.of_row(media_id, promise).at_new_key()
    arrived, bucket = promise["storage_path"], context.objects.holding(promise["content_type"])
    try:
        draft = draft.recognised(await head_of(bucket, arrived))
        target = context.objects.holding(draft.kind.name)
        await target.copy(arrived, draft.storage_path, content_type=draft.kind.name, of=bucket)
        await require_still(context, draft)
        stored = await measure(context, draft)
        require_as_announced(stored, promise)
    except NotFound:
        detail = "The file has not arrived in the store; send it, or ask for a new upload."
        raise Conflict(detail, code="upload_missing") from None
    except RequestError:
        await context.objects.holding(draft.kind.name).discard(draft.storage_path)
        await bucket.discard(arrived)
        raise
    except BaseException:
        await context.objects.holding(draft.kind.name).discard(draft.storage_path)
        raise
    close = partial(media.close_promise, promise=promise)
    row, created = await finalize_upload(context, principal, draft, stored, along=close)
    await bucket.discard(arrived)
    return _answer(row, created)


async def _admit(request: Request) -> tuple[Principal, UUID]:
    return await admit(request), uuid_param(request.path_params["visit_id"], "visit_id")


def _draft_of_headers(request: Request, principal: Principal, visit_id: UUID) -> Draft:
    name, text = words(request.headers)
    sequence, duration_ms = numbers(request.headers)
    return Draft(
        *_place(principal, visit_id, media_id_of(request.headers.get("x-media-id"))),
        declared_type=declared_type(request.headers),
        original_name=name,
        label=text,
        sequence=sequence,
        duration_ms=duration_ms,
        created_by=principal.user_id,
    )


def _draft_of_wish(wish: PresignRequest, principal: Principal, visit_id: UUID) -> Draft:
    return Draft(
        *_place(principal, visit_id, wish.media_id),
        declared_type=called(wish.content_type),
        kind=content.named(wish.content_type) or content.UNKNOWN,
        original_name=file_name(wish.original_name),
        label=label(wish.label),
        sequence=wish.sequence,
        duration_ms=wish.duration_ms,
        created_by=principal.user_id,
    )


def _place(principal: Principal, visit_id: UUID, media_id: UUID | None) -> tuple[UUID, UUID, UUID, str]:
    media_id = media_id or uuid4()
    return media_id, principal.tenant_id, visit_id, media.new_key(principal.tenant_id, visit_id, media_id)


async def _sha256(chunks: AsyncIterator[bytes]) -> str:
    digest = hashlib.sha256()
    async for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _answer(row: Record, created: bool) -> Response:  # noqa: FBT001 - as `keep` returns it
    headers = {"location": f"/v1/media/{row['id']}/content"}
    return json_response(media.public(row), 201 if created else 200, headers)


routes = [
    Route("/v1/visits/{visit_id}/media", upload, methods=["POST"]),
    Route("/v1/visits/{visit_id}/media/presign", idempotent(presign), methods=["POST"]),
    Route("/v1/visits/{visit_id}/media/{media_id}/complete", idempotent(complete, in_one=False), methods=["POST"]),
]
