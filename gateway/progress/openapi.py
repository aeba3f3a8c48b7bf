"""`/openapi.json` on progress: streams of server-sent events, tickets to them, and pages of events."""

from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from gateway.http.deprecation import DEPRECATED
from gateway.openapi.operation import (
    JSON,
    UUID_TEXT,
    Answer,
    Operation,
    Param,
    Shape,
    gives,
    header,
    takes_json,
    whole_number,
)
from gateway.openapi.values import Moment
from gateway.progress.event_types import CONTROLS, MESSAGES, envelope
from gateway.progress.multi_stream import MOST_VISITS
from gateway.progress.responses import PAGE
from gateway.progress.visit_stream import StreamRequest


class Ticket(Shape):
    """Opens one visit's stream until `expires_at`, and resumes it from then on; `url` is the stream with it."""

    ticket: str
    expires_at: Moment
    url: str


def _describe_payloads(schema: dict[str, Any]) -> None:
    """Say for each known type which payload it has; another type has any."""
    schema["examples"] = [envelope("media.stored", MESSAGES["media.stored"].example)]
    schema["allOf"] = [
        {
            "if": {"properties": {"type": {"const": name}}},
            "then": {"properties": {"payload": {"$ref": f"#/components/schemas/{each.shape.__name__}"}}},
        }
        for name, each in MESSAGES.items()
    ]


class VisitEvent(Shape):
    """Something that happened at a visit; `seq` increases from one to the next, and may leap."""

    model_config = ConfigDict(json_schema_extra=_describe_payloads)

    visit_id: UUID
    seq: int
    job_id: UUID | None
    type: str
    background: Literal[True] = Field(default=True, description="Absent unless it is of a job beside the estimate.")
    ends_stream: Literal[True] = Field(default=True, description="Absent unless the visit's stream ends with it.")
    payload: dict[str, Any]
    created_at: str


class EventPage(Shape):
    """Events after a position, as they are streamed."""

    events: list[VisitEvent]
    last_seq: int
    has_more: bool


_LAST_SEQ = 2**63 - 1
_STREAM = (
    "Server-sent events. Unnamed messages are the visit's events, `id` their seq; `hello`, `end` and `drain` are named."
    " A comment every 30 s keeps it alive. Too many streams: `end {reason: busy}` at once; come back after `retry`."
)
_ID = {"type": "string", "description": "The seq of an event of a visit; on several visits, a cursor."}
_RETRY = {"type": "integer", "minimum": 0, "description": "Milliseconds to wait before coming back."}


def _data(model: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model}"}
    return {"type": "string", "contentMediaType": JSON, "contentSchema": schema}


_MESSAGE = {
    "oneOf": [
        {
            "type": "object",
            "description": "An event of a visit, or a `snapshot`.",
            "required": ["data"],
            "properties": {"id": _ID, "data": _data("VisitEvent")},
            "not": {"required": ["event"]},
        },
        *(
            {
                "type": "object",
                "description": each.when,
                "required": ["event", "data"],
                "properties": {"event": {"const": name}, "retry": _RETRY, "data": _data(each.shape.__name__)},
            }
            for name, each in CONTROLS.items()
        ),
    ]
}
_SSE = {200: Answer(_STREAM, {"text/event-stream": _MESSAGE})}
_OVER = {204: Answer("The job is over and all was told; do not come back.")}
_LAST_ID = {"type": "string", "pattern": r"^[0-9]{1,18}$"}
_CURSOR = {"type": "string", "maxLength": 2048}
_TICKET = Param("ticket", {"type": "string", "maxLength": 64}, "Instead of a token, for who cannot send a header.")


def _resume(schema: dict[str, Any]) -> tuple[Param, Param]:
    words = "The last id that was seen: the stream goes on after it."
    return header("Last-Event-ID", schema, words), Param("last_event_id", schema, words)


_ONE = _SSE | _OVER
_ALIAS = DEPRECATED["/functions/v1/sse-progress"]
_VISIT = Param("visit_id", UUID_TEXT, "The visit.", required=True)
_VISITS = {"type": "array", "items": UUID_TEXT, "minItems": 1, "maxItems": MOST_VISITS}

OPERATIONS = {
    "GET /v1/visits/{visit_id}/progress": Operation(_ONE, "watcher", params=(*_resume(_LAST_ID), _TICKET)),
    "GET /functions/v1/sse-progress": Operation(
        _ONE, "watcher", params=(_VISIT, *_resume(_LAST_ID), _TICKET), deprecated=_ALIAS
    ),
    "POST /functions/v1/sse-progress": Operation(
        _ONE,
        "watcher",
        takes=takes_json(StreamRequest),
        params=(Param("visit_id", UUID_TEXT, "The visit, unless the body names it."), *_resume(_LAST_ID), _TICKET),
        deprecated=_ALIAS,
    ),
    "GET /v1/progress": Operation(
        _SSE,
        "watcher",
        params=(Param("visit_id", _VISITS, "Each visit.", required=True), *_resume(_CURSOR)),
    ),
    "GET /v1/tenant/progress": Operation(_SSE, "watcher"),
    "POST /v1/visits/{visit_id}/progress/ticket": Operation(
        gives(Ticket, 201, headers={"location": "The stream with the ticket."})
    ),
    "GET /v1/visits/{visit_id}/events": Operation(
        gives(EventPage),
        params=(
            Param("after", whole_number(0, _LAST_SEQ), "The last seq that was seen."),
            Param("limit", whole_number(1, PAGE), "How many at most."),
        ),
        limited=True,
    ),
}
