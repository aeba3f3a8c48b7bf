"""`/openapi.json` on `/ops`: the operators' page, its stream and its actions."""

from uuid import UUID

from gateway.openapi.operation import JSON, TEXT, Answer, Operation, Shape, gives, takes_json
from gateway.ops import actions
from gateway.ops.dashboard import SECTIONS


class JobOfLetter(Shape):
    """The job a dead letter was of."""

    job_id: UUID


class DoneToEach(Shape):
    """For how many it was done, how many could not be, and after which letter to go on where there are more."""

    done: int
    kept: int
    next: UUID | None


class Paused(Shape):
    """The part that is paused."""

    paused: str


class Resumed(Shape):
    """The part that goes on."""

    resumed: str
    was_paused: bool


class FlagNow(Shape):
    """The flag's value; off as long as it is killed."""

    now: bool


class Remembered(Shape):
    """For how many tenants it is or was remembered."""

    tenants: int


_PAGE = {"text/html": TEXT}
_TOKEN = {
    "type": "object",
    "required": ["token"],
    "properties": {"token": {"type": "string", "description": "An operator's token; nothing else signs in."}},
}
_NAMES = {"type": "array", "items": {"enum": [*SECTIONS]}, "uniqueItems": True}
_CHANGES = {
    "oneOf": [
        {
            "description": "Which sections have changed, none for a sign of life; the page has them as they are now.",
            "type": "object",
            "required": ["data"],
            "properties": {"data": {"type": "string", "contentMediaType": JSON, "contentSchema": _NAMES}},
            "additionalProperties": False,
        },
        {
            "description": "The database does not answer; what the page shows may be old.",
            "type": "object",
            "required": ["event", "data"],
            "properties": {"event": {"const": "away"}, "data": {"const": "{}"}},
            "additionalProperties": False,
        },
    ]
}
_DEED = (409,)

OPERATIONS = {
    "GET /ops": Operation({200: Answer("How the product stands.", _PAGE), 303: Answer("Signed in.")}, "operator"),
    "GET /ops/live": Operation(
        {
            200: Answer(
                "Server-sent events: all names of sections at first, then of those that change, every 20 s at least.",
                {"text/event-stream": _CHANGES},
            )
        },
        "operator",
    ),
    "POST /ops/dead/retry": Operation(gives(DoneToEach), "operator", takes_json(actions.OfCause), must_take=True),
    "POST /ops/dead/discard": Operation(gives(DoneToEach), "operator", takes_json(actions.OfCause), must_take=True),
    "POST /ops/dead/{letter_id}/retry": Operation(
        gives(JobOfLetter), "operator", takes_json(actions.Why), refuses=_DEED
    ),
    "POST /ops/dead/{letter_id}/discard": Operation(
        gives(JobOfLetter), "operator", takes_json(actions.Why), refuses=_DEED
    ),
    "POST /ops/queue/pause": Operation(gives(Paused), "operator", takes_json(actions.Switch), must_take=True),
    "POST /ops/queue/resume": Operation(gives(Resumed), "operator", takes_json(actions.Switch), must_take=True),
    "POST /ops/flags/set": Operation(gives(FlagNow), "operator", takes_json(actions.FlagOf), must_take=True),
    "POST /ops/flags/kill": Operation(
        gives(Remembered), "operator", takes_json(actions.KillOf), must_take=True, refuses=_DEED
    ),
    "POST /ops/flags/restore": Operation(
        gives(Remembered), "operator", takes_json(actions.KillOf), must_take=True, refuses=_DEED
    ),
}
