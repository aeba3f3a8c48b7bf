"""Event types: every kind of message on a stream, with the shape of its payload, an example and when it comes.

The documents are made of these: `/asyncapi.json`, `/openapi.json` and `docs/reference/event-types.md`. The suite
compares them with every event that it sees.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from gateway.openapi.job import Job
from gateway.openapi.operation import Shape
from gateway.openapi.values import Moment, absent

StepName = Literal["gather", "transcribe", "look", "draft", "price", "total", "save"]
_JOB = "0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90"
_MEDIUM = "0198c5a2-8b11-7c02-8e0d-51c9a7b64f23"
_SHARE = "0198c5a3-1f6a-7e44-b7a5-0c2e9d8f1b76"
_ESTIMATE = "0198c5a2-f0c4-7b19-a3d2-6e8f7a9b0c15"
_CORRELATION = {"correlation_id": "b2f6a1c0d4e84c7f"}


class OfJob(Shape):
    """The payload of an event of a job."""

    correlation_id: str = Field(description="The id under which the job's log lines are found.")


class JobQueued(OfJob):
    """The payload of `job.queued`."""

    run_at: Moment = absent("Absent unless the job is for later.")


class JobStarted(OfJob):
    """The payload of `job.started`."""

    attempt: int = Field(ge=1)
    worker: str | None


class JobRetrying(OfJob):
    """The payload of `job.retrying`."""

    error: str | None
    attempt: int = Field(ge=0, description="The attempt that failed.")
    run_at: Moment = Field(description="When the next attempt is due.")


class JobReleased(OfJob):
    """The payload of `job.released`."""


class JobStalled(OfJob):
    """The payload of `job.stalled`."""

    reason: Literal["no_worker", "paused", "worker_silent"] | None = Field(
        description="No worker is there, the queue is paused, or the job's worker has fallen silent. Null: it is over."
    )


class JobCompleted(OfJob):
    """The payload of `job.completed`: the job's result, which differs by the kind of job."""

    model_config = ConfigDict(extra="allow")

    estimate_id: UUID = absent("The estimate that was made.")
    version: int = absent("Its version.")


class JobFailed(OfJob):
    """The payload of `job.failed`."""

    error: str | None = Field(description="What went wrong, in a sentence.")
    code: str | None = Field(description="The same for programs, such as `attempts_exhausted`.")


class JobCancelled(OfJob):
    """The payload of `job.cancelled`."""


class StepStarted(Shape):
    """The payload of `step.started`."""

    step: StepName
    index: int = Field(ge=1, le=7, description="The step's place in the order.")
    count: int = Field(ge=0, description="How many items it has.")


class StepProgress(Shape):
    """The payload of `step.progress`."""

    step: StepName
    done: int
    total: int
    item: str = absent("The item that is done, such as a file's name.")


class StepCompleted(Shape):
    """The payload of `step.completed`."""

    step: StepName
    ms: int = Field(ge=0, description="Milliseconds that it took.")


class LineDrafted(Shape):
    """The payload of `line.drafted`."""

    description: str
    quantity: str = Field(description="A decimal number, as text.")
    unit: str


class MediaStored(Shape):
    """The payload of `media.stored`."""

    media_id: UUID
    media_type: Literal["photo", "audio"]
    name: str


class MediaRemoved(Shape):
    """The payload of `media.removed`."""

    media_id: UUID


class VisitDeleted(Shape):
    """The payload of `visit.deleted`."""

    purge_at: Moment = Field(description="When it goes for good; until then it can be restored.")


class VisitRestored(Shape):
    """The payload of `visit.restored`."""


class ShareOpened(Shape):
    """The payload of `share.opened`."""

    share_id: UUID
    recipient: str


class ShareMailed(Shape):
    """The payload of `share.mailed`."""

    share_id: UUID
    recipient: str
    state: Literal["sent", "failed"]


class ShareDecided(Shape):
    """The payload of `share.decided`."""

    share_id: UUID
    recipient: str
    decision: Literal["accepted", "declined", "changes_requested"]
    estimate_id: UUID
    version: int


class ShareMessage(Shape):
    """The payload of `share.question` and `share.answer`."""

    share_id: UUID
    recipient: str


class StepState(Shape):
    """How far a step of the newest job is; null where it is not known yet."""

    status: Literal["running", "completed"]
    done: int | None
    total: int | None
    ms: int | None


class Snapshot(Shape):
    """The payload of `snapshot`: how the visit stands as of its `seq`."""

    job: Job | None
    steps: dict[str, StepState]


class Hello(Shape):
    """The data of `hello`."""

    last_seq: int | dict[str, int] = Field(description="Where the table stands; on several visits, by visit.")
    recovered: bool = Field(description="True when the stream goes on after the client's last id, without a gap.")


class Drain(Shape):
    """The data of `drain`."""


class End(Shape):
    """The data of `end`."""

    reason: Literal["completed", "failed", "cancelled", "busy", "replaced", "expired", "revoked", "disabled"]


@dataclass(frozen=True)
class EventType:
    """A kind of message: the shape of its payload, when it comes, and an example of the payload."""

    shape: type[Shape]
    when: str
    example: Mapping[str, Any]


EVENTS: Mapping[str, EventType] = {
    "job.queued": EventType(JobQueued, "A job was asked for, or an operator queued it again.", _CORRELATION),
    "job.started": EventType(
        JobStarted, "A worker has taken the job.", {"attempt": 1, "worker": "worker-1", **_CORRELATION}
    ),
    "job.retrying": EventType(
        JobRetrying,
        "The attempt failed, and another follows.",
        {"error": "The model did not answer.", "attempt": 1, "run_at": "2026-03-02T09:30:02.417Z", **_CORRELATION},
    ),
    "job.released": EventType(
        JobReleased, "The job is back in the queue: its worker stops, or was lost.", _CORRELATION
    ),
    "job.stalled": EventType(
        JobStalled,
        "The job does not move, which is told within ten seconds to a stream; or it moves again.",
        {"reason": "no_worker", **_CORRELATION},
    ),
    "job.completed": EventType(
        JobCompleted, "The result is stored.", {"estimate_id": _ESTIMATE, "version": 1, **_CORRELATION}
    ),
    "job.failed": EventType(
        JobFailed,
        "No attempt is left, or the error is final.",
        {"error": "The model did not answer.", "code": "attempts_exhausted", **_CORRELATION},
    ),
    "job.cancelled": EventType(JobCancelled, "The job was cancelled.", _CORRELATION),
    "step.started": EventType(StepStarted, "A step begins.", {"step": "look", "index": 3, "count": 4}),
    "step.progress": EventType(
        StepProgress,
        "One more item of a step is done. A later one of the same step makes it worthless.",
        {"step": "look", "done": 1, "total": 4, "item": "kitchen.jpg"},
    ),
    "step.completed": EventType(StepCompleted, "A step is done.", {"step": "look", "ms": 2310}),
    "line.drafted": EventType(
        LineDrafted,
        "A line of the draft can be shown.",
        {"description": "Drywall repair patch", "quantity": "12", "unit": "sq ft"},
    ),
    "media.stored": EventType(
        MediaStored,
        "A photo or recording was stored.",
        {"media_id": _MEDIUM, "media_type": "photo", "name": "kitchen.jpg"},
    ),
    "media.removed": EventType(MediaRemoved, "A photo or recording was removed.", {"media_id": _MEDIUM}),
    "visit.deleted": EventType(
        VisitDeleted, "The visit was put into the bin; its stream ends.", {"purge_at": "2026-04-01T09:30:00Z"}
    ),
    "visit.restored": EventType(VisitRestored, "The visit was taken out of the bin.", {}),
    "share.opened": EventType(
        ShareOpened, "The customer opened a link for the first time.", {"share_id": _SHARE, "recipient": "Ana Lima"}
    ),
    "share.mailed": EventType(
        ShareMailed,
        "A mail with a link went out, or was refused for good.",
        {"share_id": _SHARE, "recipient": "Ana Lima", "state": "sent"},
    ),
    "share.decided": EventType(
        ShareDecided,
        "The customer answered.",
        {
            "share_id": _SHARE,
            "recipient": "Ana Lima",
            "decision": "accepted",
            "estimate_id": _ESTIMATE,
            "version": 1,
        },
    ),
    "share.question": EventType(
        ShareMessage, "The customer asked a question.", {"share_id": _SHARE, "recipient": "Ana Lima"}
    ),
    "share.answer": EventType(
        ShareMessage, "The company answered a question.", {"share_id": _SHARE, "recipient": "Ana Lima"}
    ),
}
SNAPSHOT = EventType(
    Snapshot,
    "First, on a stream that begins without an id, or with an id that the database lost.",
    {"job": None, "steps": {"look": {"status": "running", "done": 1, "total": 4, "ms": None}}},
)
MESSAGES: Mapping[str, EventType] = {"snapshot": SNAPSHOT, **EVENTS}
CONTROLS: Mapping[str, EventType] = {
    "hello": EventType(
        Hello,
        "First of all: the stream is open. It also carries `retry`.",
        {"last_seq": 41, "recovered": True},
    ),
    "drain": EventType(Drain, "This process stops, or the stream must begin anew. Come back after `retry`.", {}),
    "end": EventType(End, "The stream is over; the reason says whether to come back.", {"reason": "completed"}),
}
SHAPES: tuple[type[Shape], ...] = tuple(each.shape for each in (*MESSAGES.values(), *CONTROLS.values()))


def envelope(type_: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a whole message of this type, as an example."""
    return {
        "visit_id": "0198c5a2-6c77-7d21-b1e3-9a0f4c8d2e55",
        "seq": 42,
        "job_id": _JOB if type_.startswith(("job.", "step.", "line.")) else None,
        "type": type_,
        **({"ends_stream": True} if type_ in ("job.completed", "job.failed", "job.cancelled") else {}),
        "payload": dict(payload),
        "created_at": "2026-03-02T09:30:00.417209Z",
    }
