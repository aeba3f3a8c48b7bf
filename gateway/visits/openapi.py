"""`/openapi.json` on visits and their jobs."""

from typing import Any
from uuid import UUID

from gateway.estimates.openapi import EstimateHead
from gateway.openapi.job import Job
from gateway.openapi.operation import Operation, Param, Shape, gives, takes_json, whole_number
from gateway.openapi.values import Moment
from gateway.uploads.openapi import Medium
from gateway.visits import visits
from gateway.visits.jobs import EstimateRequest


class Visit(Shape):
    """A visit without its contents."""

    id: UUID
    title: str
    customer_name: str
    address: str
    notes: str
    status: str
    created_at: Moment
    updated_at: Moment


class ListedVisit(Visit):
    """A visit in a list."""

    media_count: int


class Visits(Shape):
    """The newest visits first."""

    visits: list[ListedVisit]


class WholeVisit(Visit):
    """A visit with its media, its newest job and the head of its newest estimate."""

    media: list[Medium]
    job: Job | None
    estimate: EstimateHead | None


class KeptSyncEvent(Shape):
    """A report of an app, as it was kept."""

    id: UUID | int
    visit_id: UUID
    event: str
    payload: dict[str, Any]
    created_at: Moment


_BATCH = {
    "type": "object",
    "properties": {
        "message": {"type": "string"},
        "processed": {"type": "integer"},
        "results": {"type": "array", "items": {"type": "object", "required": ["job_id", "status"]}},
    },
}

OPERATIONS = {
    "POST /v1/visits": Operation(
        gives(Visit, 201, headers={"location": "Where it is."}), takes=takes_json(visits.VisitFields)
    ),
    "GET /v1/visits": Operation(
        gives(Visits), params=(Param("limit", whole_number(1, visits.MOST_LISTED), "How many at most."),)
    ),
    "GET /v1/visits/{visit_id}": Operation(gives(WholeVisit), conditional=True),
    "PATCH /v1/visits/{visit_id}": Operation(gives(Visit), takes=takes_json(visits.VisitFields), conditional=True),
    "POST /v1/visits/{visit_id}/sync-events": Operation(
        gives(KeptSyncEvent, 201), takes=takes_json(visits.SyncEvent), must_take=True
    ),
    "POST /v1/visits/{visit_id}/estimate": Operation(
        gives(Job, 202, headers={"location": "Where it stands."}),
        takes=takes_json(EstimateRequest),
        refuses=(409,),
    ),
    "GET /v1/jobs/{job_id}": Operation(gives(Job)),
    "POST /v1/jobs/{job_id}/cancel": Operation(gives(Job, 202)),
    "POST /functions/v1/queue-processor": Operation(
        gives(_BATCH, text="What became of the batch: `{processed, results}`, or `{message}` when none was due."),
        "scheduler",
        refuses=(500,),
    ),
}
