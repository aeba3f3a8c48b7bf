"""The sign-in page, and the end that all ways in share."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from config.logging import get_logger
from gateway.accounts.pages import as_page, require_our_form, safe_path, show
from gateway.accounts.sign_in import attempts
from gateway.accounts.sign_in.ways import ways_on
from gateway.auth import sessions
from gateway.context import context_of
from store.people import sign_in as rows
from store.people.sign_in import Proof

_log = get_logger(__name__)


async def page(request: Request) -> Response:
    """Show the ways in that are on; `next` is where to go afterwards."""
    settings = context_of(request).settings
    next_path, left = safe_path(request.query_params.get("next")), request.query_params.get("left")
    there = next((way for way in ways_on(settings) if left is not None and way.name == f"oidc:{left}"), None)
    return show(
        request, "sign_in/sign_in.html", ways=ways_on(settings), next=next_path, sign_up=settings.sign_up, left=there
    )


async def finish(request: Request, proof: Proof, next_path: str) -> Response:
    """Sign in the person that a way has proven, or tell them that there is no account for them."""
    context = context_of(request)
    async with context.db.as_system() as conn:
        user_id = await rows.user_of(conn, proof, is_open=context.settings.sign_up == "open")
    if user_id is None:
        _log.info("Nobody known signed in", way=proof.way)
        return show(request, "sign_in/no_account.html", status=403)
    return await enter(request, user_id, proof.way, next_path)


async def enter(request: Request, user_id: UUID, way: str, next_path: str) -> Response:
    """Sign in a user that a way has found, and lead them on."""
    response = RedirectResponse(safe_path(next_path), 303)
    await sessions.start(request, response, user_id=user_id, way=way)
    attempts.forget(request, response, way)
    return response


async def sign_out(request: Request) -> Response:
    """End the browser's session, and show the sign-in page; one by an issuer can be ended there too."""
    require_our_form(request)
    response = RedirectResponse("/sign-in", 303)
    way = await sessions.end(request, response)
    if way is not None and way.startswith("oidc:"):
        response.headers["location"] = f"/sign-in?left={way.removeprefix('oidc:')}"
    return response


routes: list[BaseRoute] = [
    Route("/sign-in", as_page(page)),
    Route("/sign-out", as_page(sign_out), methods=["POST"]),
]
