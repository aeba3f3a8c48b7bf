"""An event as the relay sees it: a short header that it reads, and a document that it passes on untouched.

The document is made once, by the database (`scopekit.event_document`), on one line. Nothing here parses a payload on
the way to a subscriber, so no payload - a number too large, a nesting too deep - can stop an event.
"""

import re
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

EndReason = Literal["completed", "failed", "cancelled", "busy", "expired", "revoked", "disabled", "replaced"]

ENDINGS: dict[str, EndReason] = {
    "job.completed": "completed",
    "job.failed": "failed",
    "job.cancelled": "cancelled",
}
_OF_JOB = "job."
_PROGRESS = "step.progress"
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_HEADER = re.compile(
    rf'\{{"visit_id":"(?P<visit>{_UUID})","seq":(?P<seq>[0-9]{{1,19}})'
    rf'(?:(?P<too_large>\}}\Z)|,"job_id":(?:null|"(?P<job>{_UUID})"),"type":"(?P<type>[a-z_.]{{1,64}})"'
    rf'(?P<background>,"background":true)?(?P<ends>,"ends_stream":true)?,"payload":)'
)
# `{"visit_id":"` stands before the id in every notification.
_VISIT = slice(13, 49)
# `"}` stands behind the time in every document.
_CREATED_AT = slice(-29, -2)


class Malformed(ValueError):
    """A notification that no trigger of ours has sent."""


@dataclass(frozen=True, slots=True)
class Event:
    """One row of processing_events; `document` is its JSON as UTF-8, without a line break.

    `background`: it is of a job beside the one that the stream is about, so the stream goes on as it was.
    """

    visit_id: str
    seq: int
    type: str
    job_id: str | None
    document: bytes
    background: bool = False
    ends_stream: bool = False

    @property
    def sse_id(self) -> int | bytes | None:
        """The id of its message."""
        return self.seq

    @property
    def created_at(self) -> float:
        """When the database's clock wrote it, in epoch seconds; now, where the document does not end with it."""
        try:
            return datetime.fromisoformat(self.document[_CREATED_AT].decode("ascii")).timestamp()
        except ValueError:
            return time.time()

    @property
    def is_progress(self) -> bool:
        """Whether a later one of the same step makes this one worthless."""
        return self.type == _PROGRESS

    def progress_of(self) -> tuple[str | None, Any]:
        """Name the job and step of this progress; only worth asking of progress."""
        try:
            return self.job_id, orjson.loads(self.document)["payload"].get("step")
        except (orjson.JSONDecodeError, AttributeError, TypeError):
            return self.job_id, self.seq  # like no other, so never dropped


@dataclass(frozen=True, slots=True)
class EventRef:
    """A reference to an event too large for a notification; it is read from the table."""

    visit_id: str
    seq: int


def visit_of(notification: str) -> str:
    """Return the visit's id without reading the rest: most notifications are of visits nobody here watches."""
    return notification[_VISIT]


def parse(text: str) -> Event | EventRef:
    """Read the header of a notification, or of a row's document. Raises `Malformed`."""
    header = _HEADER.match(text)
    if header is None:
        raise Malformed(text[:80])
    if header["too_large"]:
        return EventRef(header["visit"], int(header["seq"]))
    return Event(
        header["visit"],
        int(header["seq"]),
        header["type"],
        header["job"],
        text.encode(),
        background=header["background"] is not None,
        ends_stream=header["ends"] is not None,
    )


def parse_row(text: str) -> Event:
    """Read a row's document, which is always whole. Raises `Malformed`."""
    event = parse(text)
    if isinstance(event, EventRef):
        raise Malformed(text[:80])
    return event


def ended_after(before: str | None, event: Event) -> str | None:
    """Return the type of the event that has ended the stream, once `event` has happened; None while it goes on.

    The next event of a job opens an ended stream again, unless the job is a background one.
    """
    if event.ends_stream:
        return event.type
    return None if event.type.startswith(_OF_JOB) and not event.background else before


def end_reason(ended_by: str | None) -> EndReason | None:
    """Return why a stream ends that an event of this type has ended; None while it goes on."""
    return None if ended_by is None else ENDINGS.get(ended_by, "completed")
