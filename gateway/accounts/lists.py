"""A company's people and API keys as lists for programs; the pages beside this module change them."""

from datetime import datetime
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.context import context_of
from gateway.http.body import json_response
from gateway.http.input.paging import read_page
from store.accounts import api_keys
from store.people import people


async def list_people(request: Request) -> Response:
    """Answer {people: [{user_id, email, name, role, since, last_seen_at}], has_more, next}, the first to come first.

    For admins and owners.
    """
    principal = await admit(request, min_role="admin")
    page = read_page(request, datetime.fromisoformat, UUID)
    async with context_of(request).db.as_user(principal.claims) as conn:
        rows = await people.page(conn, page.reach, page.after)
    return json_response(page.answer("people", rows, lambda row: (row["since"], row["user_id"]), dict))


async def list_keys(request: Request) -> Response:
    """Answer {api_keys: [{id, name, role, created_at, last_used_at}], has_more, next}, newest first, no secrets.

    For admins and owners.
    """
    principal = await admit(request, min_role="admin")
    page = read_page(request, datetime.fromisoformat, UUID)
    async with context_of(request).db.as_user(principal.claims) as conn:
        rows = await api_keys.page(conn, page.reach, page.after)
    return json_response(page.answer("api_keys", rows, lambda row: (row["created_at"], row["id"]), dict))


routes = [
    Route("/v1/people", list_people, methods=["GET"]),
    Route("/v1/api-keys", list_keys, methods=["GET"]),
]
