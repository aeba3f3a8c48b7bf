"""The company's page of webhooks: endpoints with their logs, for administrators in a browser."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.accounts.company import company_page, render
from gateway.auth.principal import Principal
from gateway.context import context_of
from gateway.http.input.form import read_form
from gateway.webhooks.endpoints import Description, EventTypes, Url, changed, delivery_id, endpoint_id, shown
from gateway.webhooks.receiver_url import require_receiver
from store.webhooks import endpoints
from store.webhooks.catalogue import CATALOGUE, CHOICES
from store.webhooks.endpoints import Endpoint

PATH = "/company/webhooks"
LOG_SHOWN = 50
DONE = {
    "saved": "Saved.",
    "test": "The test event is on its way. Reload to see the answer.",
    "again": "On its way again. Reload to see the answer.",
    "deleted": "The endpoint is deleted.",
}


class EndpointForm(BaseModel):
    """An endpoint's address and its types of events; a ticked box is a field named like its type."""

    model_config = ConfigDict(extra="ignore")

    url: Url
    description: Description = ""
    event_types: EventTypes

    @model_validator(mode="before")
    @classmethod
    def _collect_boxes(cls, fields: Any) -> Any:
        return {**fields, "event_types": [name for name in CHOICES if name in fields]}


class StatusForm(BaseModel):
    """Whether events are delivered."""

    model_config = ConfigDict(extra="ignore")

    status: Literal["active", "paused"]


class AgainForm(BaseModel):
    """Of how many last hours failed deliveries are made again."""

    model_config = ConfigDict(extra="ignore")

    hours: Annotated[int, Field(ge=1, le=720)]


async def page(request: Request, principal: Principal) -> Response:
    """Show all endpoints, and the form for another."""
    async with context_of(request).db.as_user(principal.claims) as conn:
        rows = await endpoints.listed(conn)
    return await _render(request, principal, "webhooks.html", endpoints=rows)


async def create(request: Request, principal: Principal) -> Response:
    """Make an endpoint, and show its secret this once."""
    form = await read_form(request, EndpointForm)
    url = require_receiver(form.url, context_of(request).settings)
    async with context_of(request).db.as_user(principal.claims) as conn:
        made, secret = await endpoints.create(conn, Endpoint(url, form.description, form.event_types))
    return await _show(request, principal, made, secret=secret)


async def one(request: Request, principal: Principal) -> Response:
    """Show an endpoint with the newest of its log."""
    return await _show(request, principal, endpoint_id(request))


async def change(request: Request, principal: Principal) -> Response:
    """Change an endpoint's address and its types of events."""
    form = await read_form(request, EndpointForm)
    require_receiver(form.url, context_of(request).settings)
    return await _change(request, principal, form.model_dump())


async def set_status(request: Request, principal: Principal) -> Response:
    """Pause an endpoint, or turn it on."""
    return await _change(request, principal, (await read_form(request, StatusForm)).model_dump())


async def rotate(request: Request, principal: Principal) -> Response:
    """Make a new secret, and show it this once."""
    async with context_of(request).db.as_user(principal.claims) as conn:
        secret = await endpoints.rotate(conn, endpoint_id(request))
    return await _show(request, principal, endpoint_id(request), secret=secret)


async def test(request: Request, principal: Principal) -> Response:
    """Queue a test event."""
    async with context_of(request).db.as_user(principal.claims) as conn:
        await endpoints.send_test(conn, endpoint_id(request))
    return _back(request, "test")


async def again(request: Request, principal: Principal) -> Response:
    """Queue all failed deliveries of the last hours."""
    form = await read_form(request, AgainForm)
    since = datetime.now(UTC) - timedelta(hours=form.hours)
    async with context_of(request).db.as_user(principal.claims) as conn:
        await endpoints.redeliver(conn, endpoint_id(request), since=since)
    return _back(request, "again")


async def again_one(request: Request, principal: Principal) -> Response:
    """Queue one delivery."""
    async with context_of(request).db.as_user(principal.claims) as conn:
        await endpoints.redeliver_one(conn, endpoint_id(request), delivery_id(request))
    return _back(request, "again")


async def delete(request: Request, principal: Principal) -> Response:
    """Delete an endpoint with its log."""
    async with context_of(request).db.as_user(principal.claims) as conn:
        await endpoints.remove(conn, endpoint_id(request))
    return RedirectResponse(f"{PATH}?done=deleted", 303)


async def _change(request: Request, principal: Principal, fields: dict[str, Any]) -> Response:
    async with context_of(request).db.as_user(principal.claims) as conn:
        before = await endpoints.read(conn, endpoint_id(request))
        await endpoints.change(conn, before["id"], changed(dict(before), fields))
    return _back(request, "saved")


async def _show(request: Request, principal: Principal, which: UUID, *, secret: str = "") -> Response:
    async with context_of(request).db.as_user(principal.claims) as conn:
        row = await endpoints.read(conn, which)
        log = [shown(entry) for entry in await endpoints.deliveries(conn, which, LOG_SHOWN)]
    return await _render(request, principal, "webhook.html", endpoint=row, log=log, secret=secret)


async def _render(request: Request, principal: Principal, template: str, **values: Any) -> Response:
    done = DONE.get(request.query_params.get("done", ""), "")
    kinds = [(name, CATALOGUE[name].when) for name in CHOICES]
    return await render(request, principal, template, kinds=kinds, done=done, path=PATH, **values)


def _back(request: Request, done: str) -> Response:
    return RedirectResponse(f"{PATH}/{endpoint_id(request)}?done={done}", 303)


_ONE = f"{PATH}/{{endpoint_id}}"


def _post(path: str, handler: Any) -> Route:
    return Route(path, company_page(handler, min_role="admin"), methods=["POST"])


routes: list[BaseRoute] = [
    Route(PATH, company_page(page, min_role="admin")),
    _post(PATH, create),
    Route(_ONE, company_page(one, min_role="admin")),
    _post(_ONE, change),
    _post(f"{_ONE}/status", set_status),
    _post(f"{_ONE}/rotate", rotate),
    _post(f"{_ONE}/test", test),
    _post(f"{_ONE}/again", again),
    _post(f"{_ONE}/deliveries/{{delivery_id}}/again", again_one),
    _post(f"{_ONE}/delete", delete),
]
