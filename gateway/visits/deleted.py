"""The bin of visits: a deleted visit waits here for 30 days, and can be restored."""

from datetime import datetime
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.context import context_of
from gateway.http.body import json_response, uuid_param
from gateway.http.input.paging import read_page
from store.visits import deleted as rows
from store.visits import visits

LISTED = 50
MOST_LISTED = 200


async def delete(request: Request) -> Response:
    """Put a visit into the bin: 30 days later it goes for good."""
    principal, visit_id = await admit(request), uuid_param(request.path_params["visit_id"], "visit_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        await visits.get(conn, visit_id)
        purge_at = await rows.delete(conn, visit_id)
    return json_response({"id": visit_id, "purge_at": purge_at})


async def list_deleted(request: Request) -> Response:
    """Answer {visits: [...], has_more, next} of the bin, the last deleted first."""
    principal = await admit(request)
    page = read_page(request, datetime.fromisoformat, UUID, usual=LISTED, most=MOST_LISTED)
    async with context_of(request).db.as_user(principal.claims) as conn:
        found = await rows.listed(conn, page.reach, page.after)
    return json_response(page.answer("visits", found, lambda row: (row["deleted_at"], row["id"]), dict))


async def restore(request: Request) -> Response:
    """Take a visit out of the bin; its links hold again."""
    principal, visit_id = await admit(request), uuid_param(request.path_params["visit_id"], "visit_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        await rows.restore(conn, visit_id)
    return Response(status_code=204)


async def purge(request: Request) -> Response:
    """Delete a visit of the bin for good, within the hour. For admins."""
    principal = await admit(request, min_role="admin")
    visit_id = uuid_param(request.path_params["visit_id"], "visit_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        await rows.purge_now(conn, visit_id)
    return Response(status_code=204)


routes = [
    Route("/v1/visits/{visit_id}", delete, methods=["DELETE"]),
    Route("/v1/bin", list_deleted),
    Route("/v1/bin/{visit_id}", purge, methods=["DELETE"]),
    Route("/v1/bin/{visit_id}/restore", restore, methods=["POST"]),
]
