"""The demo tenant of a developer's own machine, and its login without ceremony."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth import sessions
from gateway.context import context_of
from gateway.http.client_info import is_loopback
from store.errors import NotFound, Unauthenticated

TENANT_ID = UUID("00000000-0000-7000-8000-000000000001")
USER_ID = UUID("00000000-0000-7000-8000-000000000002")


def may_log_in(request: Request) -> bool:
    """Tell whether the demo login is open: ENVIRONMENT=local, from this machine, under a loopback name."""
    return context_of(request).settings.is_local and is_loopback(request)


async def log_in(request: Request, response: Response) -> Response:
    """Give the browser the demo user's session: the owner of the demo tenant, and an operator, as `make run` seeds.

    A browser that has one keeps it: a new one would end the streams of its other tabs.
    """
    if not await _is_demo_user(request):
        await sessions.start(request, response, user_id=USER_ID, way="demo")
    return response


async def _is_demo_user(request: Request) -> bool:
    try:
        principal = await sessions.of_cookie(request)
    except Unauthenticated:
        return False
    return principal is not None and principal.user_id == USER_ID


async def login(request: Request) -> Response:
    """Start the demo session; 404 anywhere but on a local stack."""
    if not may_log_in(request):
        raise NotFound("There is no demo login here.")
    return await log_in(request, Response(status_code=204))


routes = [Route("/demo/login", login, methods=["POST"])]
