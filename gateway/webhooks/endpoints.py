"""Webhook endpoints over HTTP: made, changed, tested and deleted; their secrets; the log of their deliveries."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.auth.auth import authenticate
from gateway.auth.idempotency import idempotent
from gateway.auth.principal import Principal
from gateway.context import context_of
from gateway.http.body import Trimmed, json_response, read_json, uuid_param
from gateway.http.input.paging import read_page
from gateway.http.input.query import choice_params
from gateway.http.input.text import OneLine
from gateway.webhooks.receiver_url import MOST_LETTERS, require_receiver
from store.pool import Record
from store.webhooks import endpoints, signature
from store.webhooks.catalogue import CHOICES
from store.webhooks.endpoints import Endpoint

PATH = "/v1/webhook-endpoints"
STATES = ("pending", "delivered", "failed")


def _known_types(types: list[str]) -> list[str]:
    unknown = sorted(set(types) - set(CHOICES))
    if unknown:
        raise ValueError(f"There is no event type {unknown[0]!r}; see the catalogue of webhook events.")
    return list(dict.fromkeys(types))


Url = Annotated[str, Trimmed, Field(min_length=1, max_length=MOST_LETTERS)]
Description = Annotated[OneLine, Trimmed, Field(max_length=200)]
EventTypes = Annotated[
    list[str],
    Field(min_length=1, max_length=50, json_schema_extra={"items": {"type": "string", "enum": [*CHOICES]}}),
    AfterValidator(_known_types),
]


class NewEndpoint(BaseModel):
    """An endpoint to be made."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    event_types: EventTypes
    description: Description = ""


class EndpointChange(BaseModel):
    """A change to an endpoint; a field left out stays."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    event_types: EventTypes | None = None
    description: Description | None = None
    status: Literal["active", "paused"] | None = None


class Since(BaseModel):
    """From when on failed deliveries are made again."""

    model_config = ConfigDict(extra="forbid")

    since: AwareDatetime


async def list_endpoints(request: Request) -> Response:
    """Answer {webhook_endpoints: [...]}: at most 20, the newest first."""
    principal = await _admin(request)
    async with context_of(request).db.as_user(principal.claims) as conn:
        return json_response({"webhook_endpoints": [dict(row) for row in await endpoints.listed(conn)]})


async def create_endpoint(request: Request) -> Response:
    """Make an endpoint: 201 with its secret, this once."""
    principal = await _admin(request)
    new = await read_json(request, NewEndpoint)
    url = require_receiver(new.url, context_of(request).settings)
    async with context_of(request).db.as_user(principal.claims) as conn:
        made, secret = await endpoints.create(conn, Endpoint(url, new.description, new.event_types))
        row = await endpoints.read(conn, made)
    return json_response({**row, "secret": secret}, 201, {"location": f"{PATH}/{made}", "cache-control": "no-store"})


async def read_endpoint(request: Request) -> Response:
    """Answer one endpoint."""
    principal = await _admin(request)
    async with context_of(request).db.as_user(principal.claims) as conn:
        return json_response(dict(await endpoints.read(conn, endpoint_id(request))))


async def change_endpoint(request: Request) -> Response:
    """Change the given fields. A new URL or status begins anew: earlier failures do not count."""
    principal = await _admin(request)
    change = await read_json(request, EndpointChange)
    async with context_of(request).db.as_user(principal.claims) as conn:
        before = await endpoints.read(conn, endpoint_id(request))
        if change.url is not None:
            require_receiver(change.url, context_of(request).settings)
        row = await endpoints.change(conn, before["id"], changed(dict(before), change.model_dump(exclude_none=True)))
    return json_response(dict(row))


async def delete_endpoint(request: Request) -> Response:
    """Delete an endpoint with its log: nothing more is delivered to it."""
    principal = await _admin(request)
    async with context_of(request).db.as_user(principal.claims) as conn:
        await endpoints.remove(conn, endpoint_id(request))
    return Response(status_code=204)


async def rotate_secret(request: Request) -> Response:
    """Answer {secret}: a new one, this once. For a day deliveries are signed with the one before too."""
    principal = await _admin(request)
    async with context_of(request).db.as_user(principal.claims) as conn:
        secret = await endpoints.rotate(conn, endpoint_id(request))
    return json_response({"secret": secret}, headers={"cache-control": "no-store"})


async def test_endpoint(request: Request) -> Response:
    """Queue a test event: 202 with its delivery."""
    principal = await _admin(request)
    async with context_of(request).db.as_user(principal.claims) as conn:
        delivery_id = await endpoints.send_test(conn, endpoint_id(request))
        return _queued(request, await endpoints.read_delivery(conn, endpoint_id(request), delivery_id))


async def redeliver_since(request: Request) -> Response:
    """Queue all failed deliveries since a time: 202 with {queued}, their number."""
    principal = await _admin(request)
    asked = await read_json(request, Since)
    async with context_of(request).db.as_user(principal.claims) as conn:
        queued = await endpoints.redeliver(conn, endpoint_id(request), since=asked.since)
    return json_response({"queued": queued}, 202, {"location": f"{PATH}/{endpoint_id(request)}/deliveries"})


async def list_deliveries(request: Request) -> Response:
    """Answer {deliveries: [...], has_more, next}: an endpoint's log of 30 days, the newest first."""
    principal = await _admin(request)
    page = read_page(request, UUID)
    after = page.after[0] if page.after else None
    states = choice_params(request, "state", STATES)
    async with context_of(request).db.as_user(principal.claims) as conn:
        rows = await endpoints.deliveries(conn, endpoint_id(request), page.reach, after, states)
    return json_response(page.answer("deliveries", rows, lambda row: (row["id"],), shown))


async def read_delivery(request: Request) -> Response:
    """Answer one delivery with its event as the receiver gets it."""
    principal = await _admin(request)
    async with context_of(request).db.as_user(principal.claims) as conn:
        row = await endpoints.read_delivery(conn, endpoint_id(request), delivery_id(request))
    return json_response(whole(row))


async def redeliver(request: Request) -> Response:
    """Queue one delivery again, under the same `webhook-id`: 202."""
    principal = await _admin(request)
    async with context_of(request).db.as_user(principal.claims) as conn:
        await endpoints.redeliver_one(conn, endpoint_id(request), delivery_id(request))
        return _queued(request, await endpoints.read_delivery(conn, endpoint_id(request), delivery_id(request)))


def changed(before: Mapping[str, Any], change: Mapping[str, Any]) -> Endpoint:
    """Lay a change over an endpoint; a status that a person sets has a person's reason."""
    after = {**before, **change}
    reason = before["reason"]
    if "status" in change and change["status"] != before["status"]:
        reason = "by_hand" if change["status"] == "paused" else ""
    return Endpoint(after["url"], after["description"], after["event_types"], after["status"], reason)


def shown(row: Record) -> dict[str, Any]:
    """Return a delivery as the log shows it; `webhook_id` is the header of the same name."""
    names = ("id", "type", "state", "tries", "answers", "created_at")
    return {"webhook_id": signature.message_id(str(row["message_id"])), **{name: row[name] for name in names}}


def whole(row: Record) -> dict[str, Any]:
    """Return a delivery with its event."""
    return {**shown(row), "event": {"type": row["type"], "timestamp": row["happened_at"], "data": row["data"]}}


def endpoint_id(request: Request) -> UUID:
    """Read the endpoint's id from the path."""
    return uuid_param(request.path_params["endpoint_id"], "endpoint_id")


def delivery_id(request: Request) -> UUID:
    """Read the delivery's id from the path."""
    return uuid_param(request.path_params["delivery_id"], "delivery_id")


async def _admin(request: Request) -> Principal:
    return await authenticate(request, min_role="admin")


def _queued(request: Request, row: Record) -> Response:
    location = f"{PATH}/{endpoint_id(request)}/deliveries/{row['id']}"
    return json_response(whole(row), 202, {"location": location})


_ONE = f"{PATH}/{{endpoint_id}}"
_LOG = f"{_ONE}/deliveries"
routes: list[BaseRoute] = [
    Route(PATH, list_endpoints),
    Route(PATH, idempotent(create_endpoint), methods=["POST"]),
    Route(_ONE, read_endpoint),
    Route(_ONE, change_endpoint, methods=["PATCH"]),
    Route(_ONE, delete_endpoint, methods=["DELETE"]),
    Route(f"{_ONE}/rotate-secret", idempotent(rotate_secret), methods=["POST"]),
    Route(f"{_ONE}/test", idempotent(test_endpoint), methods=["POST"]),
    Route(f"{_ONE}/redeliver", idempotent(redeliver_since), methods=["POST"]),
    Route(_LOG, list_deliveries),
    Route(f"{_LOG}/{{delivery_id}}", read_delivery),
    Route(f"{_LOG}/{{delivery_id}}/redeliver", idempotent(redeliver), methods=["POST"]),
]
