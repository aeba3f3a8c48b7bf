"""A visit's media: its photos and recordings, their labels, and signed ways to see and hear them."""

import time
from datetime import datetime
from typing import Annotated, Any, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.context import context_of
from gateway.http.body import json_response, read_json, uuid_param
from gateway.http.conditional import etag_of, require_match, tagged_response
from gateway.http.input.paging import Page, read_page
from gateway.uploads.upload_body import LABEL_LENGTH, label
from store.errors import InvalidInput
from store.media import media
from store.media.derivatives import ensure_derivative
from store.media.media import Size
from store.pool import Record
from store.visits import visits

MAX_HASHES = 1000
ORIGINAL = "original"
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Hashes(BaseModel):
    """The files a client has and might send."""

    model_config = ConfigDict(extra="forbid")

    sha256: list[Sha256] = Field(max_length=MAX_HASHES)


class Label(BaseModel):
    """The words a contractor puts to a photo or recording."""

    model_config = ConfigDict(extra="forbid")

    label: str = Field(max_length=LABEL_LENGTH)


async def list_media(request: Request) -> Response:
    """Answer {media: [...], has_more, next} in the order they were taken."""
    page, rows = await _page_of_visit(request)
    return json_response(page.answer("media", rows, media.place, media.public))


async def check(request: Request) -> Response:
    """Tell which of these hashes the visit still lacks, before any byte is sent."""
    principal, visit_id = (
        await admit(request, min_role="viewer"),
        uuid_param(request.path_params["visit_id"], "visit_id"),
    )
    asked = (await read_json(request, Hashes, limit=128 * 1024)).sha256
    async with context_of(request).db.as_user(principal.claims) as conn:
        await visits.get(conn, visit_id)
        held = await media.by_hash(conn, visit_id, asked)
    present = [{"sha256": sha256, "media_id": held[sha256]} for sha256 in dict.fromkeys(asked) if sha256 in held]
    return json_response(
        {"missing": [sha256 for sha256 in dict.fromkeys(asked) if sha256 not in held], "present": present}
    )


async def urls(request: Request) -> Response:
    """Answer {urls: [{media_id, type, url, expires_at}], has_more, next}: the originals, for whoever looks for us."""
    context, (page, rows) = context_of(request), await _page_of_visit(request)
    ttl = context.settings.ai_fetch_ttl
    expires_at = (int(time.time()) + ttl) * 1000  # a signature counts from the full second
    signed = {
        row["id"]: await context.objects.holding(row["content_type"]).presign_get(
            row["storage_path"], ttl=ttl, content_type=row["content_type"]
        )
        for row in rows[: page.limit]
    }

    def shape(row: Record) -> dict[str, Any]:
        return {
            "media_id": row["id"],
            "type": row["media_type"],
            "url": signed[row["id"]],
            "expires_at": expires_at,
        }

    return json_response(page.answer("urls", rows, media.place, shape))


async def read(request: Request) -> Response:
    """Answer one medium."""
    principal, context = await admit(request), context_of(request)
    async with context.db.as_user(principal.claims) as conn:
        row = await media.get(conn, _media_id(request))
    return tagged_response(request, media.public(row))


async def set_label(request: Request) -> Response:
    """Put words to a medium; with If-Match only while it is as it was read: else 412."""
    principal, media_id = await admit(request), _media_id(request)
    text = label((await read_json(request, Label)).label)
    async with context_of(request).db.as_user(principal.claims) as conn:
        require_match(request, etag_of(media.public(await media.lock(conn, media_id))))
        row = await media.set_label(conn, media_id, text)
    return tagged_response(request, media.public(row))


async def delete(request: Request) -> Response:
    """Remove a medium: its row first, so that no row ever stands over nothing, then its objects.

    With If-Match as for a change.
    """
    principal, context, media_id = await admit(request), context_of(request), _media_id(request)
    async with context.db.as_user(principal.claims) as conn:
        require_match(request, etag_of(media.public(await media.lock(conn, media_id))))
        row = await media.remove(conn, media_id)
    for bucket in (context.objects, context.objects.originals):
        await bucket.discard(*media.keys_of(row))
    return Response(status_code=204)


async def content(request: Request) -> Response:
    """Redirect to the bytes: with ?size=thumb|view a photo's JPEG for people, with ?size=original the file as sent."""
    principal, context = await admit(request), context_of(request)
    size, wants_original = _size(request), request.query_params.get("size") == ORIGINAL
    async with context.db.as_user(principal.claims) as conn:
        row = await media.get(conn, _media_id(request))
    if wants_original and row["original_path"] is not None:
        key, kind, name = row["original_path"], row["original_type"], row["original_name"] or None
    elif size is None:
        key, kind, name = row["storage_path"], row["content_type"], row["original_name"] or None
    else:
        key, kind, name = await ensure_derivative(context.objects, context.decoder, row, size), "image/jpeg", None
    url = await context.objects.holding(kind).presign_get(
        key, ttl=context.settings.ai_fetch_ttl, content_type=kind, filename=name
    )
    return RedirectResponse(url, 302, {"cache-control": "private, no-store"})


async def _page_of_visit(request: Request) -> tuple[Page, list[Record]]:
    principal = await admit(request)
    visit_id = uuid_param(request.path_params["visit_id"], "visit_id")
    page = read_page(request, int, datetime.fromisoformat, UUID, usual=200, most=1000)
    async with context_of(request).db.as_user(principal.claims) as conn:
        await visits.get(conn, visit_id)
        return page, await media.page_of_visit(conn, visit_id, page.reach, page.after)


def _media_id(request: Request) -> UUID:
    return uuid_param(request.path_params["media_id"], "media_id")


def _size(request: Request) -> Size | None:
    given = request.query_params.get("size")
    for size in get_args(Size):
        if given == size:
            return size  # type: ignore[no-any-return]
    if given in (None, ORIGINAL):
        return None
    raise InvalidInput(
        f"size is one of: {', '.join((*get_args(Size), ORIGINAL))}.", code="invalid_parameter", field="size"
    )


routes = [
    Route("/v1/visits/{visit_id}/media", list_media, methods=["GET"]),
    Route("/v1/visits/{visit_id}/media/check", check, methods=["POST"]),
    Route("/v1/visits/{visit_id}/media/urls", urls, methods=["GET"]),
    Route("/v1/media/{media_id}", read, methods=["GET"]),
    Route("/v1/media/{media_id}", set_label, methods=["PATCH"]),
    Route("/v1/media/{media_id}", delete, methods=["DELETE"]),
    Route("/v1/media/{media_id}/content", content, methods=["GET"]),
]
