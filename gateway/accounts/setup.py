"""The first company: on an empty database `/setup` takes a code from the gateway's log, once."""

import secrets
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from config.flags import nested
from config.logging import get_logger
from config.settings import Settings
from gateway.accounts.pages import as_page, require_our_form, show, show_problem
from gateway.auth import credentials, sessions
from gateway.context import context_of
from gateway.http.body import Trimmed
from gateway.http.client_info import address_of, limit_key
from gateway.http.input.form import read_form
from gateway.http.input.text import OneLine
from store.errors import Forbidden, NotFound, RequestError
from store.limits.shared_limits import Bucket, Limit
from store.people import emails, sign_in
from store.pool import AWAY, Database

_log = get_logger(__name__)

WRONG_SETUP_CODES = Limit("wrong_setup_codes", burst=10, per_second=0.02)


class SetupForm(BaseModel):
    """The code, and the company with its owner."""

    model_config = ConfigDict(extra="ignore")

    code: Annotated[str, StringConstraints(strip_whitespace=True, max_length=100)]
    company: Annotated[OneLine, Trimmed, Field(min_length=1, max_length=200)]
    email: Annotated[str, StringConstraints(max_length=320)]


async def offer(settings: Settings, db: Database) -> None:
    """Write a code for `/setup` into the log where there is no company yet; the newest code counts."""
    if settings.is_local:  # `make run` makes the demo company
        return
    code = secrets.token_hex(16)
    try:
        async with db.as_system() as conn:
            if await sign_in.offer_setup(conn, credentials.digest(code.encode())):
                _log.warning("There is no company yet: open /setup and enter this code", setup_code=code)
    except AWAY as error:
        _log.warning("Whether there is a company could not be asked", error=type(error).__name__)


async def page(request: Request) -> Response:
    """Ask for the code and the company; 404 once there is one."""
    await _require_empty(request)
    return show(request, "setup.html")


async def set_up(request: Request) -> Response:
    """Make the company and its owner, and sign them in."""
    await _require_empty(request)
    require_our_form(request)
    sessions.require_safe(request)
    form = await read_form(request, SetupForm)
    context, wrong = context_of(request), Bucket(WRONG_SETUP_CODES, limit_key(address_of(request)))
    try:
        context.limits.check(wrong)
        email = emails.normal(form.email)
        async with context.db.as_system() as conn:
            code_hash = credentials.digest(form.code.encode("utf-8", "surrogatepass"))
            flags = nested(context.settings.company_flags)
            user_id = await sign_in.set_up(conn, code_hash, company=form.company, email=email, flags=flags)
        if user_id is None:
            await context.limits.spend(wrong)
            raise Forbidden("That is not the code. The newest one in the gateway's log counts.")
    except RequestError as problem:
        return show_problem(request, "setup.html", problem, company=form.company, email=form.email)
    response = RedirectResponse("/", 303)
    await sessions.start(request, response, user_id=user_id, way="setup")
    return response


async def _require_empty(request: Request) -> None:
    async with context_of(request).db.as_system() as conn:
        if not await sign_in.is_empty(conn):
            raise NotFound("There is a company already: sign in, or ask for an invitation.")


routes: list[BaseRoute] = [
    Route("/setup", as_page(page)),
    Route("/setup", as_page(set_up), methods=["POST"]),
]
