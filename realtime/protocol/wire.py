"""Events as bytes of a `text/event-stream`; made once and shared by every subscriber.

Invariants, because common parsers dispatch any block that a blank line ends: every such block has data; a
heartbeat is a comment line without one; `retry` rides in a control event.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sse_starlette.event import ServerSentEvent

from realtime.protocol.events import EndReason, Event

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
LAST_CHUNK = b"0\r\n\r\n"


class Chunk:
    """Bytes for the body of a response, and the same as one HTTP/1.1 chunk for writing to a socket."""

    __slots__ = ("body", "framed")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.framed = b"%x\r\n%b\r\n" % (len(body), body)


HEARTBEAT = Chunk(b": heartbeat\n")


def message(sse_id: int | bytes | None, document: bytes) -> bytes:
    """Encode an unnamed message, which an EventSource gives to `onmessage`; without a mark the last id stays."""
    if b"\n" in document or b"\r" in document:  # none of ours has one; a stream must not break on another's
        named = sse_id.decode() if isinstance(sse_id, bytes) else sse_id if sse_id is None else str(sse_id)
        return ServerSentEvent(document.decode(), id=named, sep="\n").encode()
    if isinstance(sse_id, int):
        return b"id: %d\ndata: %b\n\n" % (sse_id, document)
    return b"data: %b\n\n" % document if sse_id is None else b"id: %b\ndata: %b\n\n" % (sse_id, document)


def frame(event: Event) -> bytes:
    """Encode an event."""
    return message(event.sse_id, event.document)


def frames(events: Iterable[Event]) -> bytes:
    """Encode events in one piece."""
    return b"".join(map(frame, events))


def opening(*, last_seq: int | Mapping[str, int], recovered: bool, retry_ms: int) -> bytes:
    """Encode the beginning of every stream: a first heartbeat, and `hello`, which says how soon to come back."""
    return HEARTBEAT.body + _control("hello", {"last_seq": last_seq, "recovered": recovered}, retry_ms)


def snapshot(  # noqa: PLR0913 - the fields of an event
    visit_id: str, seq: int, job_id: UUID | None, payload: bytes, created_at: datetime, *, sse_id: int | bytes | None
) -> bytes:
    """Encode the state at position `seq` as a message of type `snapshot`; `payload` is JSON on one line."""
    head = orjson.dumps({"visit_id": visit_id, "seq": seq, "job_id": job_id, "type": "snapshot"}, default=str)
    tail = orjson.dumps({"created_at": created_at}, option=orjson.OPT_UTC_Z)
    return message(sse_id, b'%b,"payload":%b,%b' % (head[:-1], payload, tail[1:]))


def end(reason: EndReason) -> bytes:
    """Encode the end of a stream."""
    return _control("end", {"reason": reason})


def refusal(*, retry_ms: int) -> bytes:
    """Encode a whole answer that an EventSource takes for a stream and comes back after."""
    return _control("end", {"reason": "busy"}, retry_ms)


def drain(*, retry_ms: int) -> bytes:
    """Encode a request to connect again after `retry_ms`: this process stops, or the stream must begin anew."""
    return _control("drain", {}, retry_ms)


def replaced(*, retry_ms: int) -> bytes:
    """Encode the end of a user's oldest stream, which gives way to a new one over the limit."""
    return _control("end", {"reason": "replaced"}, retry_ms)


def _control(name: str, data: Mapping[str, Any], retry_ms: int | None = None) -> bytes:
    retry = b"" if retry_ms is None else b"retry: %d\n" % retry_ms
    return b"%bevent: %b\ndata: %b\n\n" % (retry, name.encode(), orjson.dumps(data))
