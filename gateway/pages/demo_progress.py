"""A page that shows the relay at work, on a developer's own machine: its button inserts, its tabs receive."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import authenticate
from gateway.auth.principal import Principal
from gateway.context import context_of
from gateway.http.body import json_response, read_json
from gateway.pages import demo
from gateway.pages.shell import modules_of
from store.errors import NotFound
from store.events import events
from store.visits import visits

TITLE = "Progress, live"


class Insertion(BaseModel):
    """The events to insert: `count`, each in a transaction of its own; without a visit, into a new one."""

    model_config = ConfigDict(extra="forbid")

    visit_id: UUID | None = None
    type: Literal["demo.event", "job.queued", "job.completed"] = "demo.event"
    count: int = Field(default=1, ge=0, le=200)


async def show(request: Request) -> Response:
    """Show the page, signed in as the demo tenant."""
    _require_home(request)
    context = context_of(request)
    page = context.templates.TemplateResponse(
        request,
        "demo_progress.html",
        {"modules": modules_of("demo/demo-progress.js")},
        headers={"cache-control": "no-store"},
    )
    return await demo.log_in(request, page)


async def insert(request: Request) -> Response:
    """Insert events; answers {visit_id, last_seq}."""
    _require_home(request)
    principal = await authenticate(request)
    if principal.tenant_id != demo.TENANT_ID:
        raise NotFound("This is for the demo tenant alone.")
    wanted = await read_json(request, Insertion)
    visit_id = wanted.visit_id or await _open_visit(request, principal)
    last_seq = 0
    for _ in range(wanted.count):
        last_seq = await _append(request, principal, visit_id, wanted.type)
    return json_response({"visit_id": visit_id, "last_seq": last_seq}, 201)


async def _open_visit(request: Request, principal: Principal) -> UUID:
    async with context_of(request).db.as_user(principal.claims) as conn:
        row = await visits.create(
            conn, tenant_id=principal.tenant_id, user_id=principal.user_id, fields=visits.VisitFields(title=TITLE)
        )
    visit_id: UUID = row["id"]
    return visit_id


async def _append(request: Request, principal: Principal, visit_id: UUID, type_: str) -> int:
    async with context_of(request).db.as_user(principal.claims) as conn:
        await visits.get(conn, visit_id)
        return await events.append(conn, tenant_id=principal.tenant_id, visit_id=visit_id, type=type_)


def _require_home(request: Request) -> None:
    if not demo.may_log_in(request):
        raise NotFound("There is no demo here.")


routes = [
    Route("/demo/progress", show),
    Route("/demo/progress/events", insert, methods=["POST"]),
]
