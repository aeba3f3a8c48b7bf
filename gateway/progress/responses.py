"""Shared by the answers to all three kinds of stream."""

from collections.abc import Awaitable
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway.auth.auth import NO_MEMBER
from gateway.context import Context
from gateway.http.limits.cost_limits import HISTORY_PAGES
from realtime.channels.subscriber import Subscriber
from realtime.streams.stream import BusyStream, ProgressStream, StaticStream
from store.errors import Forbidden, InvalidInput, TooMany
from store.pool import Record

LAST_SEQ = 2**63 - 1  # seq is a bigint
# The spellings that polyfills of EventSource send, for want of a header of their own.
_ID_PARAMS = ("last_event_id", "lastEventId", "lastEventID", "Last-Event-ID")
# What a client sends that has seen nothing, by way of a missing value or of another server's word for it.
_NO_ID = frozenset({"", "undefined", "null", "earliest"})
# Outlasts a restart: a client that comes back sooner finds a proxy's 502, which stops a browser's EventSource for good.
_BUSY_MS, _BUSY_JITTER_MS = 10_000, 2_500

# Events a page. A leap of the numbers after a crash looks like a long history, so a stream counts as at most so many.
PAGE, MOST_PAGES = 500, 50

Answer: TypeAlias = Response | ProgressStream | StaticStream


async def stream_or_drop(subscriber: Subscriber, answer: Awaitable[Answer]) -> Answer:
    """Return the answer to an admitted stream, which is dropped unless that is the stream itself."""
    found: Answer | None = None
    try:
        found = await answer
    finally:
        if not isinstance(found, ProgressStream):
            subscriber.abort()
    return found


def busy(context: Context) -> BusyStream:
    """Refuse a caller that may have a stream, but not now."""
    return BusyStream(_BUSY_MS + context.hub.retry_ms(_BUSY_JITTER_MS))


def may_replay(context: Context, who: tuple[str, str], missed: int) -> bool:
    """Count the events that a resuming stream of this company and user missed; False when they read too much history.

    A page is always given: after a restart everybody comes back at once, and has missed little.
    """
    if missed <= PAGE:
        return True
    try:
        context.costs.spend(HISTORY_PAGES, who, min(missed / PAGE, MOST_PAGES))
    except TooMany:
        return False
    return True


def not_enabled() -> Response:
    """Answer a tenant that has no streams."""
    return PlainTextResponse("SSE not enabled", 404)


def require_member(found: list[Record] | None) -> list[Record]:
    """Return the opening state of the streams, when the caller is a member. Raises `Forbidden`."""
    if found is None:
        raise Forbidden(NO_MEMBER, code="not_a_member")
    return found


def last_event_id(request: Request) -> str | None:
    """Return the id the client saw last, as it came: in the header an EventSource sends, else in the query."""
    in_query = filter(None, (query_param(request, name) for name in _ID_PARAMS))
    found = request.headers.get("last-event-id") or next(in_query, None)
    return None if found in _NO_ID else found


def query_param(request: Request, name: str) -> str | None:
    """Return a parameter of the query; most streams have none, and to parse that is no cheaper."""
    return request.query_params.get(name) if request.scope["query_string"] else None


def foreign_id(what: str) -> InvalidInput:
    """Make the error for an id that no event of `what` has."""
    return InvalidInput(f"Last-Event-ID must be the id of an event of this {what}.", field="last_event_id")
