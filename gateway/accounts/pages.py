"""How the pages of this folder are shown, and the check that a form came from one of them."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from gateway.context import context_of
from gateway.http.client_info import came_from_our_page
from gateway.http.errors import STATUS
from store.errors import Forbidden, RequestError, TooMany

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

_LONGEST_PATH = 500


def show(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """Render a page that no cache keeps."""
    response = context_of(request).templates.TemplateResponse(
        request, f"accounts/{template}", values, status_code=status
    )
    response.headers["cache-control"] = "no-store"
    return response


def show_problem(request: Request, template: str, problem: RequestError, **values: Any) -> Response:
    """Render a form's page again with its errors."""
    status = next(STATUS[kind] for kind in type(problem).__mro__ if kind in STATUS)
    response = show(request, template, status=status, problem=problem.detail, **values)
    if isinstance(problem, TooMany):
        response.headers["retry-after"] = str(max(1, round(problem.retry_after)))
    return response


def as_page(handler: Handler) -> Handler:
    """Show an error as a page where a browser asks; a program gets the problem document."""

    @wraps(handler)
    async def shown(request: Request) -> Response:
        try:
            return await handler(request)
        except RequestError as problem:
            if "text/html" not in request.headers.get("accept", ""):
                raise
            return show_problem(request, "message.html", problem)

    return shown


def require_our_form(request: Request) -> None:
    """Pass a form that a page of ours sent: nobody is signed in by another site. Raises `Forbidden`."""
    if not came_from_our_page(request, context_of(request).settings):
        raise Forbidden("Please use the form on the page itself.")


def safe_path(text: str | None) -> str:
    """Return a path of our own to go to, `/` for anything else: no other host, scheme or control character."""
    if not text or len(text) > _LONGEST_PATH or not text.startswith("/") or not text.isprintable():
        return "/"
    if text.startswith("//") or "\\" in text or "@" in text:
        return "/"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    return "/" if parts.scheme or parts.netloc else text
