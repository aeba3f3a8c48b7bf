"""For every answer under /e/: its headers, and errors as a page a customer can read.

The words for an unknown, an expired, a withdrawn and a used-up link are the same, so that nobody learns from them
whether there was one.
"""

import asyncpg
from starlette.datastructures import MutableHeaders
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.logging import correlation_id, get_logger
from config.settings import Settings
from gateway.context import context_of
from gateway.http.errors import HANDLERS, STATUS, problem
from gateway.http.negotiation import prefers_json
from store.errors import SpineError

_log = get_logger(__name__)

NO_LINK = (
    "The link may have expired, been withdrawn or been used up, or it was not copied whole. "
    "Please ask the person who sent it to you for a new one."
)
_NO_WAY_BACK = (404, 410)
_GONE_TITLE = "This link cannot be opened"
_TITLES = {
    403: "That did not work",
    404: _GONE_TITLE,
    405: "That did not work",
    409: "This estimate was updated",
    410: _GONE_TITLE,
    429: "Please wait a moment",
    503: "We cannot reach the estimate just now",
}


class ShareMiddleware:
    """Wraps a route under /e/."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the route, and answer its errors, with these headers."""
        request = Request(scope, receive)
        headers = share_headers(context_of(request).settings)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - whatever it is, the customer gets a page and these headers
            response = await _answer(request, error)
            await response(scope, receive, send_with_headers)


def share_headers(settings: Settings) -> dict[str, str]:
    """Let no other site learn of the link, frame it, keep it or find it, and let the page load nothing of others."""
    return {
        "cache-control": "no-store",
        "content-security-policy": content_security_policy(settings),
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "x-robots-tag": "noindex, nofollow, noarchive",
    }


def content_security_policy(settings: Settings) -> str:
    """Allow our own style, script and forms, and photos from where they are; nothing inline and nobody else."""
    photos = "'self'" if settings.share_media_proxy else f"'self' {settings.media_origin}"
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src {photos}",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def share_route(path: str, endpoint: type[HTTPEndpoint]) -> Route:
    """Make a route under this middleware. Classes answer every method, so that a refused one has the headers too."""
    return Route(path, endpoint, middleware=[Middleware(ShareMiddleware)])


def address_here(request: Request) -> str:
    """Return the path of the document's own page."""
    return f"/e/{request.path_params['token']}"


def wants_page(request: Request) -> bool:
    """Tell a browser, which gets pages, from a program that asks for JSON first."""
    return not prefers_json(request.headers.get("accept", ""))


def message_page(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Render a page with one message, and a way back where there is something to go back to."""
    back = None if status in _NO_WAY_BACK else address_here(request)
    values = {"title": _TITLES.get(status, "That did not work"), "detail": detail, "back": back}
    return context_of(request).templates.TemplateResponse(
        request, "share/message.html", values, status_code=status, headers=headers
    )


async def _answer(request: Request, error: Exception) -> Response:
    """Turn an error into a page, or for a program into the problem document it would get elsewhere."""
    handler = next((HANDLERS[kind] for kind in type(error).__mro__ if kind in HANDLERS), None)
    if handler is None:
        _log.exception("Unhandled error on a share's page", error=type(error).__name__)
        return _broken(request)
    if not wants_page(request):
        response: Response = await handler(request, error)
        return response
    return message_page(request, _status(error), _detail(error), _headers(error))


def _broken(request: Request) -> Response:
    detail = f"Something went wrong on our side. If it happens again, tell the sender this number: {correlation_id()}."
    return message_page(request, 500, detail) if wants_page(request) else problem(500, detail)


def _status(error: Exception) -> int:
    if isinstance(error, HTTPException):
        return error.status_code
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 503)


def _detail(error: Exception) -> str:
    if isinstance(error, SpineError):
        return error.detail
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError | TimeoutError):
        return "Nothing was changed. Please try again in a moment."
    return {404: NO_LINK, 405: "Please go back and try again."}.get(_status(error), "Please go back and try again.")


def _headers(error: Exception) -> dict[str, str]:
    retry_after = getattr(error, "retry_after", None)
    if isinstance(error, HTTPException):
        return dict(error.headers or {})
    return {} if retry_after is None else {"retry-after": str(max(1, round(retry_after)))}
