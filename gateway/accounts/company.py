"""The company's pages, for its people in a browser; anybody not signed in is led to the sign-in page."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeAlias
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.accounts.pages import show, show_problem
from gateway.auth import sessions
from gateway.auth.auth import authenticate, identify, require_person
from gateway.auth.principal import NO_TENANT, Principal
from gateway.context import context_of
from store.accounts import sessions as rows
from store.accounts.memberships import Role
from store.errors import Forbidden, RequestError, Unauthenticated

Page: TypeAlias = Callable[[Request, Principal], Awaitable[Response]]

YOU = "/company/you"


def company_page(page: Page, *, min_role: Role | None = None) -> Callable[[Request], Awaitable[Response]]:
    """Call `page` for the caller, with at least this role; their own page for anybody signed in.

    A browser without a session is led to the sign-in page and back; one without a company to its own page.
    """

    @wraps(page)
    async def shown(request: Request) -> Response:
        try:
            principal = await (_person(request) if min_role is None else _member(request, min_role))
            if principal is None:
                return RedirectResponse(YOU, 303)
            response = await page(request, principal)
        except Unauthenticated:
            if not _is_browser(request):
                raise
            return RedirectResponse(f"/sign-in?next={quote(request.url.path)}", 303)
        except RequestError as problem:
            if not _is_browser(request):
                raise
            return show_problem(request, "message.html", problem)
        if request.method == "GET":
            await sessions.rotate_if_due(request, response)
        return response

    return shown


async def render(request: Request, principal: Principal, template: str, **values: Any) -> Response:
    """Render a company page with its head: the user, their companies, their role here."""
    async with context_of(request).db.as_system() as conn:
        user = await rows.user(conn, principal.user_id)
        companies = await rows.companies_of(conn, principal.user_id)
    here = next((company for company in companies if company["tenant_id"] == principal.tenant_id), None)
    status = values.pop("status", 200)
    return show(request, template, status=status, user=user, companies=companies, here=here, **values)


async def _person(request: Request) -> Principal:
    """Return a person signed in in a browser. Raises `Forbidden` for a token or a key."""
    principal = await identify(request)
    if principal.session_id is None:
        raise Forbidden("This is a person's own page, for a browser that is signed in.")
    return principal


async def _member(request: Request, min_role: Role) -> Principal | None:
    """Return a member of the session's company; None for a person without a company."""
    require_person(request)
    principal = await identify(request)
    if principal.tenant_id == NO_TENANT:
        return None
    return await authenticate(request, min_role=min_role)


def _is_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
