"""Joining by an invitation's link: it makes the account of an address that has none; another signs in to accept."""

import hashlib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.accounts.pages import as_page, require_our_form, show
from gateway.auth import sessions
from gateway.context import context_of
from gateway.http.client_info import address_of, limit_key
from gateway.http.input.form import read_form
from store.errors import Gone
from store.limits.shared_limits import Bucket, Limit
from store.people import people
from store.pool import Record

UNKNOWN_INVITATIONS = Limit("unknown_invitations", burst=30, per_second=0.5)
_OVER = "This invitation has expired, was withdrawn or was used. Ask for a new one."


class JoinForm(BaseModel):
    """The link's token."""

    model_config = ConfigDict(extra="ignore")

    token: Annotated[str, StringConstraints(max_length=100)]


async def page(request: Request) -> Response:
    """Show the invitation; opening it uses nothing up."""
    token = request.path_params["token"]
    found = await _open_invitation(request, token)
    values = {name: found[name] for name in ("company", "email", "role", "has_account")}
    return show(request, "join.html", token=token, **values)


async def join(request: Request) -> Response:
    """Make the account, join, and sign in; a person with an account signs in instead, which accepts too."""
    require_our_form(request)
    form = await read_form(request, JoinForm)
    found = await _open_invitation(request, form.token)
    if found["has_account"]:
        return RedirectResponse("/sign-in", 303)
    async with context_of(request).db.as_system() as conn:
        user_id = await people.join_by_link(conn, _hash(form.token))
    if user_id is None:
        raise Gone(_OVER)
    response = RedirectResponse("/", 303)
    await sessions.start(request, response, user_id=user_id, way="invitation")
    return response


async def _open_invitation(request: Request, token: str) -> Record:
    limits, unknown = context_of(request).limits, Bucket(UNKNOWN_INVITATIONS, limit_key(address_of(request)))
    limits.check(unknown)
    async with context_of(request).db.as_system() as conn:
        found = await people.read_invitation(conn, _hash(token))
    if found is None:
        await limits.spend(unknown)
        raise Gone(_OVER)
    return found


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


routes: list[BaseRoute] = [
    Route("/join", as_page(join), methods=["POST"]),
    Route("/join/{token}", as_page(page)),
]
