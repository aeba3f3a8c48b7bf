"""Resumable uploads by tus 1.0, under /v1/uploads: each request adds what it can, and nothing of it is lost."""

from contextlib import AbstractAsyncContextManager, aclosing
from uuid import UUID, uuid4

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.auth.principal import Principal
from gateway.context import Context, context_of
from gateway.http.body import arriving, declared_length, uuid_param
from gateway.uploads.tus.finish import end, finish
from gateway.uploads.tus.headers import (
    CAPABILITIES,
    Metadata,
    announced_length,
    is_chunk,
    offset_of,
    progress_headers,
    refuse_concatenation,
    require_chunk_type,
)
from gateway.uploads.tus.middleware import TusMiddleware
from gateway.uploads.upload_body import content_md5
from gateway.uploads.upload_limits import admit_file
from store.errors import Conflict, Forbidden, Locked, NotFound, TooLarge, UnsupportedType
from store.media import media
from store.media.media import Draft
from store.objects import content
from store.objects.checksum import Checksum
from store.pool import Record
from store.uploads import resumables
from store.uploads.resumable_writer import ResumableWriter


async def capabilities(_request: Request) -> Response:
    """Tell the version and extensions of tus spoken here."""
    return Response(status_code=204, headers=CAPABILITIES)


async def create(request: Request) -> Response:
    """Begin an upload, or go on with the one this medium has; its first bytes may come along."""
    principal, context = await admit(request), context_of(request)
    refuse_concatenation(request.headers)
    length, metadata = announced_length(request.headers), Metadata(request.headers.get("upload-metadata", ""))
    draft = _draft(principal, metadata)
    if await admit_file(context, principal, draft, length) is not None:
        raise Conflict("This media id already holds a file; choose a new one.", code="media_id_taken")
    async with context.tenant_locks.of(principal.tenant_id), context.db.as_user(principal.claims) as conn:
        row = await resumables.create(conn, draft, metadata.announced(length))
    if row["received"] == 0 and is_chunk(request.headers):
        row = await _append(request, principal, row["id"], offset=0)
    return Response(status_code=201, headers={"location": f"/v1/uploads/{row['id']}"} | progress_headers(row))


async def head(request: Request) -> Response:
    """Tell how much has been received; a file that is whole and not a medium yet becomes one first."""
    principal, context, upload_id = await admit(request, min_role="member"), context_of(request), _upload_id(request)
    async with context.db.as_user(principal.claims) as conn:
        row = await resumables.get(conn, upload_id)
    if row["received"] == row["file_size"] and row["stored_at"] is None:
        async with _writer(context, principal, upload_id, row["received"]) as writer:
            await finish(context, principal, writer)
    headers = {"upload-length": str(row["file_size"])} | progress_headers(row)
    return Response(headers=headers | ({"upload-metadata": row["metadata"]} if row["metadata"] else {}))


async def patch(request: Request) -> Response:
    """Add the body at Upload-Offset; 204 says how much is safe now."""
    principal = await admit(request)
    require_chunk_type(request.headers)
    row = await _append(request, principal, _upload_id(request), offset=offset_of(request.headers))
    return Response(status_code=204, headers=progress_headers(row))


async def terminate(request: Request) -> Response:
    """End an upload and drop its bytes; a medium that it has become stays."""
    principal, context = await admit(request), context_of(request)
    if not await end(context, principal, _upload_id(request)):
        raise NotFound("There is no such upload.")
    return Response(status_code=204)


async def overridden(request: Request) -> Response:
    """Obey X-HTTP-Method-Override, for clients behind proxies that let only POST through."""
    method = request.headers.get("x-http-method-override", "").upper()
    if method not in _OVERRIDES:
        raise NotFound("POST an upload to /v1/uploads, or say HEAD, PATCH or DELETE in X-HTTP-Method-Override.")
    return await _OVERRIDES[method](request)


async def _append(request: Request, principal: Principal, upload_id: UUID, *, offset: int) -> Record:
    context = context_of(request)
    checksum = Checksum.parse(request.headers.get("upload-checksum")) or content_md5(request.headers)
    async with _writer(context, principal, upload_id, offset, checksum) as writer:
        _refuse_by_length(request, writer.row)
        try:
            await _take(request, writer)
        except UnsupportedType:
            await end(context, principal, upload_id)
            raise
        except (Locked, Forbidden):  # it is another's now, or nobody's; or the sender may not send any more
            raise
        except BaseException:
            await writer.save_what_came()
            raise
        if writer.is_whole:
            await finish(context, principal, writer)
        return writer.row


async def _take(request: Request, writer: ResumableWriter) -> None:
    async with aclosing(arriving(request)) as chunks:
        async for chunk in chunks:
            await writer.write(chunk)
    await writer.save()


def _refuse_by_length(request: Request, row: Record) -> None:
    if (declared_length(request) or 0) > row["file_size"] - row["received"]:
        raise TooLarge(f"The upload was announced with {row['file_size']} bytes.", limit=row["file_size"])


def _writer(
    context: Context, principal: Principal, upload_id: UUID, offset: int, checksum: Checksum | None = None
) -> AbstractAsyncContextManager[ResumableWriter]:
    return ResumableWriter.claim(
        context.db, principal.claims, context.objects, upload_id, offset=offset, checksum=checksum
    )


def _draft(principal: Principal, metadata: Metadata) -> Draft:
    media_id, visit_id = metadata.media_id or uuid4(), metadata.visit_id
    return Draft(
        *(media_id, principal.tenant_id, visit_id, media.new_key(principal.tenant_id, visit_id, media_id)),
        declared_type=metadata.content_type,
        kind=content.named(metadata.content_type) or content.UNKNOWN,
        original_name=metadata.name,
        label=metadata.label,
        sequence=metadata.number("sequence"),
        duration_ms=metadata.number("duration_ms"),
        created_by=principal.user_id,
    )


def _upload_id(request: Request) -> UUID:
    return uuid_param(request.path_params["upload_id"], "upload_id")


_OVERRIDES = {"HEAD": head, "PATCH": patch, "DELETE": terminate}
_FRAME = [Middleware(TusMiddleware)]

routes = [
    Route("/v1/uploads", capabilities, methods=["OPTIONS"], middleware=_FRAME),
    Route("/v1/uploads", create, methods=["POST"], middleware=_FRAME),
    Route("/v1/uploads/{upload_id}", capabilities, methods=["OPTIONS"], middleware=_FRAME),
    Route("/v1/uploads/{upload_id}", head, methods=["HEAD"], middleware=_FRAME),
    Route("/v1/uploads/{upload_id}", patch, methods=["PATCH"], middleware=_FRAME),
    Route("/v1/uploads/{upload_id}", terminate, methods=["DELETE"], middleware=_FRAME),
    Route("/v1/uploads/{upload_id}", overridden, methods=["POST"], middleware=_FRAME),
]
