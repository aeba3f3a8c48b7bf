"""What the answers to all three kinds of stream have in common."""

from collections.abc import Awaitable
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway.context import Context
from realtime.channels.subscriber import Subscriber
from realtime.streams.stream import BusyStream, ProgressStream, StaticStream
from store.errors import Forbidden, InvalidInput
from store.pool import Record

LAST_SEQ = 2**63 - 1  # seq is a bigint
NO_MEMBER = "You are not a member of this tenant, or not any more; ask its owner."
# Longer than after a stream's end: whoever is refused should not be the next to be refused.
_BUSY_MS = 5_000

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
    """Refuse whoever may have a stream, but not now."""
    return BusyStream(context.hub.retry_ms(_BUSY_MS))


def not_enabled() -> Response:
    """Answer a tenant that has no streams."""
    return PlainTextResponse("SSE not enabled", 404)


def require_member(found: list[Record] | None) -> list[Record]:
    """Return what streams open with, when the caller is a member. Raises `Forbidden`."""
    if found is None:
        raise Forbidden(NO_MEMBER)
    return found


def last_event_id(request: Request) -> str | None:
    """Return the id the client saw last, as it came: in the header an EventSource sends, else in the query."""
    return request.headers.get("last-event-id") or query_param(request, "last_event_id") or None


def query_param(request: Request, name: str) -> str | None:
    """Return a parameter of the query; most streams have none, and to parse that is no cheaper."""
    return request.query_params.get(name) if request.scope["query_string"] else None


def foreign_id(what: str) -> InvalidInput:
    """Make the error for an id that no event of `what` has."""
    return InvalidInput(f"Last-Event-ID must be the id of an event of this {what}.", field="last_event_id")
