"""The bin as a page: deleted visits, restored by members and deleted for good by admins."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.accounts.company import company_page, render
from gateway.auth.principal import Principal
from gateway.context import context_of
from gateway.http.body import uuid_param
from store.pool import Connection
from store.visits import deleted

PATH = "/company/bin"
# The API lists them page by page; a person looks for what was deleted lately.
SHOWN = 200


async def page(request: Request, principal: Principal) -> Response:
    """Show the visits in the bin, the last deleted first."""
    async with context_of(request).db.as_user(principal.claims) as conn:
        visits = await deleted.listed(conn, SHOWN)
    return await render(request, principal, "bin.html", visits=visits, days=deleted.DAYS)


async def restore(request: Request, principal: Principal) -> Response:
    """Take a visit out of the bin."""
    return await _change(request, principal, deleted.restore)


async def purge(request: Request, principal: Principal) -> Response:
    """Delete a visit of the bin for good."""
    return await _change(request, principal, deleted.purge_now)


async def _change(
    request: Request, principal: Principal, act: Callable[[Connection, UUID], Awaitable[None]]
) -> Response:
    visit_id = uuid_param(request.path_params["visit_id"], "visit_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        await act(conn, visit_id)
    return RedirectResponse(PATH, 303)


routes: list[BaseRoute] = [
    Route(PATH, company_page(page, min_role="viewer")),
    Route(f"{PATH}/{{visit_id}}/restore", company_page(restore, min_role="member"), methods=["POST"]),
    Route(f"{PATH}/{{visit_id}}/purge", company_page(purge, min_role="admin"), methods=["POST"]),
]
