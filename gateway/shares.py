"""The contractor's side of shares: make a link, see what became of it, end it."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth import admit
from gateway.body import json_response, read_json, uuid_param
from gateway.context import context_of
from gateway.share_secrets import digest, hash_passcode, new_secret
from gateway.visitor import public_origin
from store import shares
from store.pool import Record

WEEK_SECONDS = 7 * 86_400
LEAST_SECONDS = 300
MOST_SECONDS = 90 * 86_400

_DECISION = ("decision", "name", "message", "decided_at")


class ShareOrder(BaseModel):
    """A link somebody asks for."""

    model_config = ConfigDict(extra="forbid")

    recipient: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    expires_in: Annotated[int, Field(ge=LEAST_SECONDS, le=MOST_SECONDS)] = WEEK_SECONDS
    max_views: Annotated[int, Field(ge=1, le=10_000)] | None = None
    passcode: Annotated[str, StringConstraints(strip_whitespace=True, min_length=4, max_length=64)] | None = None


async def create_share(request: Request) -> Response:
    """Make a link to the newest version of an estimate; its token is in this answer and nowhere else, ever."""
    principal = await admit(request)
    estimate_id = uuid_param(request.path_params["estimate_id"], "estimate_id")
    order = await read_json(request, ShareOrder)
    context = context_of(request)
    token = new_secret()
    new = shares.NewShare(
        token_hash=digest(token),
        recipient=order.recipient,
        expires_in=order.expires_in,
        max_views=order.max_views,
        passcode_hash=await hash_passcode(order.passcode) if order.passcode else None,
    )
    async with context.db.as_user(principal.claims) as conn:
        share = await shares.create(conn, estimate_id, new, tenant_id=principal.tenant_id, created_by=principal.user_id)
    link = f"{public_origin(request, context.settings)}/e/{token}"
    return json_response(share_json(share) | {"token": token, "url": link}, 201, {"cache-control": "no-store"})


async def list_shares(request: Request) -> Response:
    """Answer {shares: [...]}, newest first, with the views and the decision of each."""
    principal = await admit(request)
    estimate_id = uuid_param(request.path_params["estimate_id"], "estimate_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        rows = await shares.of_estimate(conn, estimate_id)
    return json_response({"shares": [share_json(row) for row in rows]})


async def revoke_share(request: Request) -> Response:
    """End a link and every session opened with it."""
    principal = await admit(request)
    share_id = uuid_param(request.path_params["share_id"], "share_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        share = await shares.revoke(conn, share_id)
    return json_response(share_json(share))


def share_json(share: Record) -> dict[str, Any]:
    """Shape a share for its owner; `decision` is None or {decision, name, message, decided_at}."""
    plain = {key: value for key, value in share.items() if key not in _DECISION}
    decided = {key: share[key] for key in _DECISION}
    return plain | {"decision": decided if share["decision"] else None}


routes = [
    Route("/v1/estimates/{estimate_id}/shares", create_share, methods=["POST"]),
    Route("/v1/estimates/{estimate_id}/shares", list_shares),
    Route("/v1/shares/{share_id}/revoke", revoke_share, methods=["POST"]),
]
