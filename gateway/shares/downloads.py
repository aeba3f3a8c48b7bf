"""A customer's downloads: the document as a PDF, and the certificate of their acceptance."""

import asyncio
from contextlib import suppress

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.context import context_of
from gateway.http.body import json_response
from gateway.http.client_info import client_info_of
from gateway.http.limits.rate_limiter import spend
from gateway.shares.access import key_of, limits_of, of_session
from gateway.shares.middleware import share_route
from store.documents.document import Document, Photo
from store.documents.pdf import LOGO, pdf_values, photo_file
from store.errors import NotFound, Unprocessable
from store.media.derivatives import ensure_derivative
from store.shares import shares

# Some 30 KB each; more would make the file larger than mail likes.
MOST_PHOTOS = 60
_PICTURE_BYTES = 4 * 1024 * 1024
_FETCHED_AT_ONCE = 4


class SharedPdf(HTTPEndpoint):
    """The document on paper."""

    async def get(self, request: Request) -> Response:
        """Answer the PDF, made for this request; 404 without a session, 429 when one link asks for too many."""
        document = Document(await of_session(request, shares.document), request.query_params.get("option", ""))
        spend(limits_of(request).documents, key_of(request).token.hex())
        pictures = await _pictures(request, document)
        tenant_id = await of_session(request, shares.tenant_of)
        pdf = await context_of(request).typesetter.set(pdf_values(document, pictures), pictures, tenant=tenant_id)
        await _note(request, "pdf")
        name = f"Estimate-{document.number}-version-{document.estimate['version']}.pdf"
        return _kept(Response(pdf, media_type="application/pdf"), name)


class SharedCertificate(HTTPEndpoint):
    """The certificate, for checking the fingerprint."""

    async def get(self, request: Request) -> Response:
        """Answer {certificate, fingerprint, facts}; 404 while nothing was accepted."""
        document = Document(await of_session(request, shares.document))
        if document.certificate is None:
            raise NotFound("This estimate has not been accepted, so there is no certificate.")
        await _note(request, "certificate")
        return _kept(json_response(document.certificate.as_json()), f"Certificate-{document.number}.json")


async def _pictures(request: Request, document: Document) -> dict[str, bytes]:
    """Fetch the logo and the photos; one that is lost or cannot be opened is left out."""
    free = asyncio.Semaphore(_FETCHED_AT_ONCE)
    pictures: dict[str, bytes] = {}

    async def photo(wanted: Photo) -> None:
        async with free:
            with suppress(NotFound, Unprocessable):
                pictures[photo_file(wanted.number)] = await _photo(request, wanted)

    try:
        async with asyncio.TaskGroup() as fetching:
            for wanted in document.photos[:MOST_PHOTOS]:
                fetching.create_task(photo(wanted))
            if document.business["has_logo"]:
                fetching.create_task(_logo(request, pictures))
    except ExceptionGroup as several:
        raise several.exceptions[0] from several  # one reason is enough for a page
    return pictures


async def _photo(request: Request, wanted: Photo) -> bytes:
    context = context_of(request)
    row = await of_session(request, lambda conn, key: shares.photo(conn, key, wanted.uuid))
    copy = await ensure_derivative(context.objects, context.decoder, row, "thumb")
    return await context.objects.get(copy, limit=_PICTURE_BYTES)


async def _logo(request: Request, pictures: dict[str, bytes]) -> None:
    with suppress(NotFound):
        path = await of_session(request, shares.logo)
        pictures[LOGO] = await context_of(request).objects.get(path, limit=_PICTURE_BYTES)


async def _note(request: Request, kind: shares.Looked) -> None:
    async with context_of(request).db.as_system(on_behalf_of=key_of(request).token) as conn:
        await shares.note(conn, key_of(request), kind, client_info_of(request))


def _kept(response: Response, name: str) -> Response:
    """Let the browser save it rather than show it: the page's policy would stop a viewer inside it."""
    response.headers["content-disposition"] = f'attachment; filename="{name}"'
    return response


routes: list[BaseRoute] = [
    share_route("/e/{token}/estimate.pdf", SharedPdf),
    share_route("/e/{token}/certificate.json", SharedCertificate),
]
