"""`/openapi.json` on visits and their jobs."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from gateway.estimates.openapi import EstimateHead
from gateway.openapi.job import Job
from gateway.openapi.operation import UUID_TEXT, Answer, Operation, PageOf, Param, Shape, gives, paged, takes_json
from gateway.openapi.values import Moment
from gateway.uploads.openapi import Medium
from gateway.visits import changes, deleted, visits
from gateway.visits.jobs import JOB_STATUSES, EstimateRequest

VisitStatus = Annotated[str, Field(json_schema_extra={"enum": [*visits.STATUSES]})]
VisitState = Annotated[str, Field(json_schema_extra={"enum": [*visits.STATES]})]


class Visit(Shape):
    """A visit without its contents; `status` is its estimate's, `state` how far it is with its customer."""

    id: UUID
    title: str
    customer_name: str
    address: str
    notes: str
    external_id: str | None
    metadata: dict[str, str]
    status: VisitStatus
    state: VisitState
    created_at: Moment
    updated_at: Moment


class ListedVisit(Visit):
    """A visit in a list."""

    media_count: int


class Visits(PageOf):
    """The newest visits first."""

    visits: list[ListedVisit]


class Jobs(PageOf):
    """The newest first."""

    jobs: list[Job]


class Change(Shape):
    """A thing that was made, changed or removed."""

    kind: Literal["visit", "media", "estimate", "share", "price_item"]
    id: UUID
    visit_id: UUID | None
    action: Literal["created", "updated", "deleted"]
    changed_at: Moment


class ChangePage(Shape):
    """Changes, the oldest first; go on from `next`, which is always there."""

    changes: list[Change]
    has_more: bool
    next: str


class WholeVisit(Visit):
    """A visit with its media, its newest job and the head of its newest estimate."""

    media: list[Medium]
    job: Job | None
    estimate: EstimateHead | None


class Deleted(Shape):
    """A visit that went into the bin, and when it goes for good."""

    id: UUID
    purge_at: Moment


class DeletedVisit(Shape):
    """A visit in the bin; `deleted_by` is a name or an address, empty where neither is known."""

    id: UUID
    title: str
    customer_name: str
    address: str
    external_id: str | None
    created_at: Moment
    deleted_at: Moment
    deleted_by: str
    purge_at: Moment


class DeletedVisits(PageOf):
    """The last deleted first."""

    visits: list[DeletedVisit]


class KeptSyncEvent(Shape):
    """A report of an app, as it was kept."""

    id: UUID
    visit_id: UUID
    event: str
    payload: dict[str, Any]
    created_at: Moment


class SyncEvents(PageOf):
    """The newest first."""

    sync_events: list[KeptSyncEvent]


_BATCH = {
    "type": "object",
    "properties": {
        "message": {"type": "string"},
        "processed": {"type": "integer"},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["job_id", "status"],
                "properties": {"job_id": UUID_TEXT, "status": {"type": "string"}},
            },
        },
    },
}


def _choices(values: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string", "enum": [*values]}, "minItems": 1, "maxItems": 20}


_WORDS = {"type": "string", "maxLength": 200}
_JOB_STATUS = Param("status", _choices(JOB_STATUSES), "With one of these statuses.")
_FILTERS = (
    Param("status", _choices(visits.STATUSES), "With one of these statuses."),
    Param("state", _choices(visits.STATES), "In one of these states."),
    Param("customer", _WORDS, "With these words in the customer's name."),
    Param("updated_since", {"type": "string", "format": "date-time"}, "Changed at this time or later."),
    Param("q", _WORDS, "With these words in title, customer, address or notes."),
    Param("external_id", _WORDS, "With this id of another system."),
)

OPERATIONS = {
    "POST /v1/visits": Operation(
        gives(Visit, 201, headers={"location": "Where it is."}), takes=takes_json(visits.VisitFields)
    ),
    "GET /v1/visits": Operation(gives(Visits), params=paged(visits.MOST_LISTED, *_FILTERS)),
    "GET /v1/changes": Operation(
        gives(ChangePage),
        params=paged(changes.MOST_TOLD),
        refuses=(410,),
    ),
    "GET /v1/jobs": Operation(
        gives(Jobs), params=paged(200, Param("visit_id", UUID_TEXT, "Of this visit."), _JOB_STATUS)
    ),
    "GET /v1/visits/{visit_id}": Operation(gives(WholeVisit), conditional=True),
    "PATCH /v1/visits/{visit_id}": Operation(
        gives(Visit), takes=takes_json(visits.VisitFields), refuses=(409,), conditional=True
    ),
    "DELETE /v1/visits/{visit_id}": Operation(gives(Deleted, text="It is in the bin.")),
    "GET /v1/bin": Operation(gives(DeletedVisits), params=paged(deleted.MOST_LISTED)),
    "POST /v1/bin/{visit_id}/restore": Operation({204: Answer("It is a visit as before.")}, refuses=(409,)),
    "DELETE /v1/bin/{visit_id}": Operation({204: Answer("It goes for good within the hour, with its media.")}),
    "POST /v1/visits/{visit_id}/sync-events": Operation(
        gives(KeptSyncEvent, 201, headers={"location": "Where it is."}),
        takes=takes_json(visits.SyncEvent),
        must_take=True,
    ),
    "GET /v1/visits/{visit_id}/sync-events": Operation(gives(SyncEvents), params=paged()),
    "GET /v1/visits/{visit_id}/sync-events/{event_id}": Operation(gives(KeptSyncEvent)),
    "POST /v1/visits/{visit_id}/estimate": Operation(
        gives(Job, 202, headers={"location": "Where it stands."}),
        takes=takes_json(EstimateRequest),
        refuses=(409,),
    ),
    "GET /v1/jobs/{job_id}": Operation(gives(Job)),
    "POST /v1/jobs/{job_id}/cancel": Operation(gives(Job, 202, headers={"location": "Where it stands."})),
    "POST /functions/v1/queue-processor": Operation(
        gives(_BATCH, text="What became of the batch: `{processed, results}`, or `{message}` when none was due."),
        "scheduler",
        refuses=(500,),
    ),
}
