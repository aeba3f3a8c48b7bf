"""Files of a shared document: photos, the contractor's logo and colours. For a live session only."""

from typing import TYPE_CHECKING

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from gateway.context import Context, context_of
from gateway.http.body import uuid_param
from gateway.http.client_info import client_info_of
from gateway.shares.access import key_of, of_session
from gateway.shares.middleware import share_route
from store.documents.colors import style_sheet
from store.media.derivatives import ensure_derivative
from store.shares import shares

if TYPE_CHECKING:
    from store.media.media import Size

# A JPEG of 2000 pixels a side is about one megabyte.
_COPY_BYTES = 8 * 1024 * 1024


class SharedPhoto(HTTPEndpoint):
    """A photo the document cites, as a copy without the camera's metadata."""

    async def get(self, request: Request) -> Response:
        """Answer 302 to a URL signed for SHARE_LINK_TTL seconds; `?size=thumb` or `view`. 404 without a session.

        With SHARE_MEDIA_PROXY the bytes come from here, and so not a second longer than the session lives.
        """
        media_id = uuid_param(request.path_params["media_id"], "media_id")
        size: Size = "thumb" if request.query_params.get("size") == "thumb" else "view"
        photo = await of_session(request, lambda conn, key: shares.photo(conn, key, media_id))
        context = context_of(request)
        copy = await ensure_derivative(context.objects, context.decoder, photo, size)
        if size == "view":
            async with context.db.as_system(on_behalf_of=key_of(request).token) as conn:
                await shares.note(conn, key_of(request), "photo", client_info_of(request), media_id)
        return await _image(context, copy)


class SharedLogo(HTTPEndpoint):
    """The contractor's logo, which the landing page shows too."""

    async def get(self, request: Request) -> Response:
        """Answer the JPEG itself: it is small. 404 for a link that cannot be opened."""
        path = await of_session(request, shares.logo)
        return _jpeg(await context_of(request).objects.get(path, limit=_COPY_BYTES))


class SharedColours(HTTPEndpoint):
    """The contractor's colours, as a style sheet: the policy of the page allows no inline style."""

    async def get(self, request: Request) -> Response:
        """Answer the custom properties that share.css uses."""
        document = await of_session(request, shares.document)
        return Response(style_sheet(document["business"]["accent"]), media_type="text/css")


async def _image(context: Context, key: str) -> Response:
    if context.settings.share_media_proxy:
        return _jpeg(await context.objects.get(key, limit=_COPY_BYTES))
    ttl = context.settings.share_link_ttl
    return RedirectResponse(await context.objects.presign_get(key, ttl=ttl, content_type="image/jpeg"), 302)


def _jpeg(body: bytes) -> Response:
    return Response(body, media_type="image/jpeg")


routes: list[BaseRoute] = [
    share_route("/e/{token}/media/{media_id}", SharedPhoto),
    share_route("/e/{token}/logo", SharedLogo),
    share_route("/e/{token}/colours.css", SharedColours),
]
