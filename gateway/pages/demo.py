"""The demo tenant of a developer's own machine, and its login without ceremony."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.settings import Settings
from gateway.auth.auth import SESSION_COOKIE, mint
from gateway.context import context_of
from gateway.http.client_info import is_loopback
from store.errors import NotFound

TENANT_ID = UUID("00000000-0000-7000-8000-000000000001")
USER_ID = UUID("00000000-0000-7000-8000-000000000002")
SESSION_SECONDS = 12 * 3600


def may_log_in(request: Request) -> bool:
    """Tell whether the demo login is open: ENVIRONMENT=local, from this machine, under a loopback name."""
    return context_of(request).settings.is_local and is_loopback(request)


def log_in(response: Response, settings: Settings) -> Response:
    """Give the browser the demo user's session: the owner of the demo tenant, and an operator, as `make run` seeds."""
    token = mint(settings, user_id=USER_ID, tenant_id=TENANT_ID, seconds=SESSION_SECONDS)
    response.set_cookie(SESSION_COOKIE, token, max_age=SESSION_SECONDS, httponly=True, samesite="lax", path="/")
    return response


async def login(request: Request) -> Response:
    """Start the demo session; 404 anywhere but on a local stack."""
    if not may_log_in(request):
        raise NotFound("There is no demo login here.")
    return log_in(Response(status_code=204), context_of(request).settings)


routes = [Route("/demo/login", login, methods=["POST"])]
