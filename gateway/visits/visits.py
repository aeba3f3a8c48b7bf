"""Visits: opened, listed, read with all they hold, changed; and an app's reports of its time offline."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.auth.idempotency import idempotent
from gateway.context import context_of
from gateway.http.body import json_response, read_json, uuid_param
from gateway.http.conditional import etag_of, require_match, tagged_response
from gateway.http.input.paging import read_page
from gateway.http.input.query import choice_params, moment_param, text_param
from gateway.http.input.text import OneLine
from store.estimates import estimates
from store.media import media
from store.pool import Connection, Record
from store.queue import jobs
from store.visits import sync_events, visits

LISTED = 50
MOST_LISTED = 200

MOST_METADATA, METADATA_LENGTH = 50, 500
STATUSES = ("in_progress", "finalizing", "completed", "failed")
STATES = (
    *("open", "estimating", "failed", "draft"),
    *("sent", "opened", "accepted", "declined", "changes_requested", "expired", "used_up", "revoked"),
)

_TEXT_LENGTH = 200
_PUBLIC = (
    *("id", "title", "customer_name", "address", "notes", "external_id", "metadata", "status", "state"),
    *("created_at", "updated_at"),
)

Short = Annotated[OneLine, Field(max_length=200)]
MetadataKey = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_.-]+$")]
MetadataText = Annotated[str, Field(max_length=METADATA_LENGTH)]


class VisitFields(BaseModel):
    """A contractor's words about a visit; a field left out, or null, stays as it is."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    title: Short | None = None
    customer_name: Short | None = None
    address: Annotated[OneLine, Field(max_length=500)] | None = None
    notes: Annotated[str, Field(max_length=20_000)] | None = None
    external_id: Annotated[OneLine, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="How another system calls the visit; one visit of a company has it."
    )
    metadata: Annotated[dict[MetadataKey, MetadataText], Field(max_length=MOST_METADATA)] | None = Field(
        default=None, description="Words of another system about the visit; they replace those before."
    )

    @property
    def fields(self) -> visits.VisitFields:
        """The same for the store."""
        return visits.VisitFields(**self.model_dump())


class SyncEvent(BaseModel):
    """Something that happened while the app was out of reach, such as `upload_failed` with `attempts`."""

    model_config = ConfigDict(extra="forbid")

    event: str = Field(pattern=r"^[a-z][a-z0-9_.]{0,63}$")
    payload: dict[str, Any] = {}


async def create(request: Request) -> Response:
    """Open a visit."""
    principal = await admit(request)
    fields = await read_json(request, VisitFields, limit=128 * 1024)
    async with context_of(request).db.as_user(principal.claims) as conn:
        row = await visits.create(conn, tenant_id=principal.tenant_id, user_id=principal.user_id, fields=fields.fields)
    return json_response(_public(row), 201, {"location": f"/v1/visits/{row['id']}"})


async def list_visits(request: Request) -> Response:
    """Answer {visits: [...], has_more, next}, newest first, each with its `media_count` and its `state` in one word."""
    principal = await admit(request)
    page = read_page(request, datetime.fromisoformat, UUID, usual=LISTED, most=MOST_LISTED)
    only = visits.VisitFilter(
        statuses=choice_params(request, "status", STATUSES),
        states=choice_params(request, "state", STATES),
        customer=text_param(request, "customer", _TEXT_LENGTH),
        updated_since=moment_param(request, "updated_since"),
        text=text_param(request, "q", _TEXT_LENGTH),
        external_id=text_param(request, "external_id", _TEXT_LENGTH),
    )
    async with context_of(request).db.as_user(principal.claims) as conn:
        rows = await visits.listed(conn, page.reach, page.after, only)
    return json_response(page.answer("visits", rows, lambda row: (row["created_at"], row["id"]), _listed))


async def read(request: Request) -> Response:
    """Answer a visit with its media, its newest job's status and the head of its newest estimate."""
    principal, visit_id = await admit(request), _visit_id(request)
    async with context_of(request).db.as_user(principal.claims) as conn:
        visit = await _with_all(conn, await visits.get(conn, visit_id))
    return tagged_response(request, visit)


async def update(request: Request) -> Response:
    """Change the given fields of a visit; with If-Match only while it is as it was read: else 412."""
    principal, visit_id = await admit(request), _visit_id(request)
    fields = await read_json(request, VisitFields, limit=128 * 1024)
    async with context_of(request).db.as_user(principal.claims) as conn:
        if "if-match" not in request.headers:
            return json_response(_public(await visits.update(conn, visit_id, fields.fields)))
        # An ETag is of all that a visit holds, which costs four queries: only a client that compares pays for it.
        before = await visits.lock(conn, visit_id)
        require_match(request, etag_of(await _with_all(conn, before)))
        row = await visits.update(conn, visit_id, fields.fields)
        etag = etag_of(await _with_all(conn, row))
    return tagged_response(request, _public(row), etag=etag)


async def report_sync_event(request: Request) -> Response:
    """Keep an app's report of its time offline."""
    principal, visit_id = await admit(request), _visit_id(request)
    report = await read_json(request, SyncEvent)
    async with context_of(request).db.as_user(principal.claims) as conn:
        await visits.get(conn, visit_id)
        row = await sync_events.record(conn, visit_id, report.event, report.payload)
    return json_response(row, 201, {"location": f"/v1/visits/{visit_id}/sync-events/{row['id']}"})


async def list_sync_events(request: Request) -> Response:
    """Answer {sync_events: [...], has_more, next}: the reports of apps about a visit, newest first."""
    principal, visit_id = await admit(request), _visit_id(request)
    page = read_page(request, datetime.fromisoformat, UUID)
    async with context_of(request).db.as_user(principal.claims) as conn:
        await visits.get(conn, visit_id)
        rows = await sync_events.listed(conn, visit_id, page.reach, page.after)
    return json_response(page.answer("sync_events", rows, lambda row: (row["created_at"], row["id"]), dict))


async def read_sync_event(request: Request) -> Response:
    """Answer one report of an app."""
    principal, visit_id = await admit(request), _visit_id(request)
    event_id = uuid_param(request.path_params["event_id"], "event_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        return json_response(dict(await sync_events.get(conn, visit_id, event_id)))


def _visit_id(request: Request) -> UUID:
    return uuid_param(request.path_params["visit_id"], "visit_id")


async def _with_all(conn: Connection, row: Record) -> dict[str, Any]:
    """Return a visit as `read` answers it; its ETag is made of that."""
    visit = _public(row)
    visit["media"] = [media.public(medium) for medium in await media.of_visit(conn, row["id"])]
    visit["job"] = await jobs.latest_status(conn, row["id"])
    visit["estimate"] = _head(await estimates.latest_for_visit(conn, row["id"]))
    return visit


def _listed(row: Record) -> dict[str, Any]:
    return _public(row) | {"media_count": row["media_count"]}


def _public(row: Record) -> dict[str, Any]:
    return {name: row[name] for name in _PUBLIC}


def _head(estimate: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return an estimate without its lines, which have a route of their own."""
    return None if estimate is None else {name: value for name, value in estimate.items() if name != "lines"}


routes = [
    Route("/v1/visits", idempotent(create), methods=["POST"]),
    Route("/v1/visits", list_visits, methods=["GET"]),
    Route("/v1/visits/{visit_id}", read, methods=["GET"]),
    Route("/v1/visits/{visit_id}", update, methods=["PATCH"]),
    Route("/v1/visits/{visit_id}/sync-events", list_sync_events, methods=["GET"]),
    Route("/v1/visits/{visit_id}/sync-events/{event_id}", read_sync_event, methods=["GET"]),
    Route("/v1/visits/{visit_id}/sync-events", idempotent(report_sync_event), methods=["POST"]),
]
