"""Every error leaves as application/problem+json (RFC 9457) with a correlation id, and never with a trace."""

from typing import Any

import asyncpg
import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.logging import correlation_id, get_logger
from gateway.http.limits.rate_limit_fields import field_of, policy_of
from gateway.http.problem_codes import CHECKSUM_MISMATCH, CODES, PAGES, code_of_status
from store import errors
from store.errors import Unauthenticated
from store.pool import REFUSALS

_log = get_logger(__name__)

_UNQUOTED = str.maketrans('"\\', "'/")

# The first class of an error's ancestry that stands here gives the status.
STATUS: dict[type[Exception], int] = {
    Unauthenticated: 401,
    errors.Unprocessable: 422,
    errors.InvalidInput: 400,
    errors.NotFound: 404,
    errors.Forbidden: 403,
    errors.Conflict: 409,
    errors.Locked: 423,
    errors.Gone: 410,
    errors.TooLarge: 413,
    errors.UnsupportedType: 415,
    errors.Stalled: 408,
    errors.PreconditionFailed: 412,
    errors.PreconditionRequired: 428,
    errors.Damaged: CHECKSUM_MISMATCH,
    errors.TooMany: 429,
    errors.Unavailable: 503,
    errors.RequestError: 400,
}


def problem(
    status: int, detail: str, *, code: str | None = None, headers: dict[str, str] | None = None, **extra: Any
) -> Response:
    """Build a problem document; `code` narrows the status, and `extra` are the members that go with it."""
    code = code or code_of_status(status)
    body = {
        "type": PAGES + code,
        "title": CODES[code].title,
        "status": status,
        "code": code,
        "detail": detail,
        "correlation_id": correlation_id(),
    }
    content = orjson.dumps(body | extra, default=str)
    return Response(content, status, headers, media_type="application/problem+json")


async def on_spine_error(_request: Request, error: Exception) -> Response:
    """Answer an error that a route raised on purpose."""
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    detail, extra = getattr(error, "detail", str(error)), getattr(error, "extra", {})
    headers = _headers(error)
    if "retry-after" in headers:
        extra = {**extra, "retry_after": int(headers["retry-after"])}
    return problem(status, detail, code=getattr(error, "code", None), headers=headers, **extra)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer an error of the framework: no such route, method not allowed, a body that cannot be parsed."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    details = {404: "There is nothing at this address.", 405: "This address does not answer that method."}
    detail = details.get(error.status_code, error.detail)
    headers = dict(error.headers or {})
    if "allow" in {name.lower() for name in headers}:
        headers = {"allow": ", ".join(sorted(_methods(request)))}
    return problem(error.status_code, detail, headers=headers)


async def on_database_error(_request: Request, error: Exception) -> Response:
    """Answer a database that is away, overloaded or too slow; a lost answer to a COMMIT leaves its outcome open."""
    _log.warning("Database error", error=type(error).__name__)
    detail = "The database did not answer in time; it is not certain whether this was done. Look, or try again."
    return problem(503, detail, headers={"retry-after": "2"}, retry_after=2)


async def on_change_refused(_request: Request, error: Exception) -> Response:
    """Answer a change that the database takes from nobody for the time being."""
    words = REFUSALS[type(error)]
    _log.error("The database takes no change", error=words)
    detail = f"{words} Nothing was changed. Try again later."
    return problem(503, detail, headers={"retry-after": "30"}, retry_after=30)


async def on_value_refused(_request: Request, error: Exception) -> Response:
    """Answer a value that the database cannot hold: out of its type's range, or text with half a surrogate pair."""
    _log.warning("Value refused by the database", error=str(error))
    return problem(
        400,
        "A value cannot be stored: it is out of range, or holds a character that is none.",
        code="value_not_storable",
    )


async def on_right_refused(_request: Request, error: Exception) -> Response:
    """Answer a change that row level security refuses: its maker's rights ended while the request was under way."""
    _log.warning("Refused by row level security", error=str(error))
    return problem(403, "You may not do this, or not any more; ask an owner of the tenant.")


HANDLERS: dict[Any, Any] = {
    asyncpg.InsufficientPrivilegeError: on_right_refused,
    asyncpg.DataError: on_value_refused,
    **dict.fromkeys(REFUSALS, on_change_refused),
    errors.SpineError: on_spine_error,
    HTTPException: on_http_exception,
    asyncpg.PostgresConnectionError: on_database_error,
    asyncpg.InterfaceError: on_database_error,
    asyncpg.InternalClientError: on_database_error,
    asyncpg.QueryCanceledError: on_database_error,
    asyncpg.OperatorInterventionError: on_database_error,
    asyncpg.InsufficientResourcesError: on_database_error,
    # A command's own deadline in a database that hangs; every other wait of ours names its lateness itself.
    TimeoutError: on_database_error,
}


class UnhandledErrorMiddleware:
    """Turns an uncaught exception into a plain 500, logs it once, and keeps the trace to ourselves."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, answering for any exception."""
        started = False

        async def noting_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, noting_start)
        except Exception:
            _log.exception("Unhandled error")
            if started:  # Too late for another answer: let the server cut the connection.
                raise
            detail = "Something went wrong on our side. Quote the correlation id when you report it."
            await problem(500, detail)(scope, receive, send)


def _methods(request: Request) -> set[str]:
    """Return every method of this address; the framework names those of the first route that has it."""
    routes = (route for route in request.app.routes if isinstance(route, Route))
    return {
        method for route in routes if route.matches(request.scope)[0] != Match.NONE for method in route.methods or ()
    }


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, Unauthenticated):
        return {"www-authenticate": _challenge(error)}
    retry_after = getattr(error, "retry_after", None)
    if retry_after is None:
        return {}
    seconds = max(1, round(retry_after))
    limits = _rate_limit(error, seconds) if isinstance(error, errors.TooMany) else {}
    return {"retry-after": str(seconds), **limits}


def _rate_limit(error: errors.TooMany, seconds: int) -> dict[str, str]:
    """Write the fields of draft-ietf-httpapi-ratelimit-headers: nothing is left, and when there will be more."""
    told = {"ratelimit": field_of(error.policy, 0, seconds)}
    return told | ({"ratelimit-policy": policy_of(error.policy)} if error.policy else {})


def _challenge(error: Unauthenticated) -> str:
    """Write the challenge of RFC 6750: a request without a token gets no error."""
    if error.code == "token_missing":
        return 'Bearer realm="scopekit"'
    described = error.detail.encode("ascii", "replace").decode().translate(_UNQUOTED)
    return f'Bearer realm="scopekit", error="invalid_token", error_description="{described}"'
