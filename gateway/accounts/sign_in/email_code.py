"""A way in: a code and a link by e-mail, good once within ten minutes, in the browser that asked.

Invariant: the answer, and its time, do not depend on whether the address has an account.
"""

import asyncio
import hashlib
import re
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.accounts.pages import as_page, require_our_form, safe_path, show, show_problem
from gateway.accounts.sign_in import attempts, ways
from gateway.accounts.sign_in.sign_in import finish
from gateway.auth import credentials
from gateway.auth.credentials import Credential
from gateway.context import context_of
from gateway.http.client_info import address_of, limit_key
from gateway.http.input.form import read_form
from store.errors import Forbidden, Gone, NotFound, RequestError
from store.limits.shared_limits import Bucket, Limit, mailbox_key, per_hour
from store.people import emails, sign_in
from store.people.sign_in import Proof
from store.pool import Record

_WAY = "email"
CODES_BY_MAILBOX = Limit("sign_in_codes_mailbox", burst=5, per_second=per_hour(6))
CODES_BY_ADDRESS = Limit("sign_in_codes_address", burst=20, per_second=per_hour(30))
# A code has five tries of its own; this is about many codes.
WRONG_CODES = Limit("wrong_sign_in_codes", burst=30, per_second=per_hour(30))

_TOO_MANY = "Too many codes were asked for. Wait a few minutes and try again."
_OVER = "This code has expired or was tried too often. Ask for a new one."
_WRONG = "That is not the code. Please check the mail and try again."


class EmailForm(BaseModel):
    """Where to send the code."""

    model_config = ConfigDict(extra="ignore")

    email: Annotated[str, StringConstraints(max_length=320)]
    next: Annotated[str, StringConstraints(max_length=500)] = "/"


class CodeForm(BaseModel):
    """The code as it is typed or pasted."""

    model_config = ConfigDict(extra="ignore")

    code: Annotated[str, StringConstraints(max_length=40)]


class LinkForm(BaseModel):
    """The link's token."""

    model_config = ConfigDict(extra="ignore")

    token: Annotated[str, StringConstraints(max_length=100)]


async def ask(request: Request) -> Response:
    """Queue the mail, for any caller and any address, and lead to the code's page."""
    _require_on(request)
    require_our_form(request)
    form = await read_form(request, EmailForm)
    context, next_path = context_of(request), safe_path(form.next)
    try:
        email = emails.normal(form.email)
        await context.limits.spend(
            Bucket(CODES_BY_ADDRESS, limit_key(address_of(request))),
            Bucket(CODES_BY_MAILBOX, mailbox_key(email)),
            detail=_TOO_MANY,
        )
    except RequestError as problem:
        shown = {"ways": ways.ways_on(context.settings), "next": next_path, "email": form.email}
        return show_problem(request, "sign_in/sign_in.html", problem, sign_up=context.settings.sign_up, **shown)
    secret = credentials.new_secret()
    async with context.db.as_system() as conn:
        asked = await sign_in.ask_for_code(conn, email, next_path, credentials.digest(secret))
    response = RedirectResponse("/sign-in/code", 303)
    attempts.keep(request, response, _WAY, Credential(asked, secret))
    return response


async def code_page(request: Request) -> Response:
    """Ask for the code."""
    _require_on(request)
    if attempts.held(request, _WAY) is None:
        return RedirectResponse("/sign-in", 303)
    return show(request, "sign_in/code.html")


async def enter(request: Request) -> Response:
    """Sign in by the code; each wrong one is one of five tries."""
    _require_on(request)
    require_our_form(request)
    form = await read_form(request, CodeForm)
    try:
        asked = await _checked(request, re.sub(r"\D", "", form.code))
    except RequestError as problem:
        return show_problem(request, "sign_in/code.html", problem)
    proof = Proof(_WAY, asked["email"])
    return await finish(request, proof, asked["next"])


async def link_page(request: Request) -> Response:
    """Ask to go on: opening a link uses nothing up, for programs that look into mails open it too."""
    _require_on(request)
    asked = await _behind(request, request.path_params["token"])
    if not asked["is_same_browser"]:
        return show(request, "sign_in/other_browser.html")
    return show(request, "sign_in/link.html", token=request.path_params["token"], email=asked["email"])


async def follow(request: Request) -> Response:
    """Sign in by the link."""
    _require_on(request)
    require_our_form(request)
    form = await read_form(request, LinkForm)
    asked = await _behind(request, form.token)
    if not asked["is_same_browser"]:
        return show(request, "sign_in/other_browser.html", status=403)
    await _use(request, asked["id"])
    proof = Proof(_WAY, asked["email"])
    return await finish(request, proof, asked["next"])


async def _checked(request: Request, code: str) -> Record:
    """Return the request whose code this is, used up. Raises `Forbidden`, `Gone` and `TooMany`."""
    context, attempt = context_of(request), attempts.held(request, _WAY)
    wrong = Bucket(WRONG_CODES, limit_key(address_of(request)))
    context.limits.check(wrong)
    if attempt is None:
        raise Gone(_OVER)
    async with context.db.as_system() as conn:
        asked = await sign_in.try_code(conn, attempt.id, attempt.secret_hash)
    if asked is None:
        raise Gone(_OVER)
    if not await asyncio.to_thread(sign_in.code_fits, asked["code_hash"], code):
        await context.limits.spend(wrong)
        raise Forbidden(_WRONG)
    await _use(request, attempt.id)
    return asked


async def _use(request: Request, request_id: UUID) -> None:
    async with context_of(request).db.as_system() as conn:
        if not await sign_in.use_code(conn, request_id):
            raise Gone(_OVER)


async def _behind(request: Request, token: str) -> Record:
    """Return the request behind a link. Raises `Gone`."""
    attempt = attempts.held(request, _WAY)
    token_hash = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
    async with context_of(request).db.as_system() as conn:
        asked = await sign_in.read_link(conn, token_hash, None if attempt is None else attempt.secret_hash)
    if asked is None:
        raise Gone("This link has expired or was used. Ask for a new one on the sign-in page.")
    return asked


def _require_on(request: Request) -> None:
    if not ways.is_on(context_of(request).settings, _WAY):
        raise NotFound("Signing in by e-mail is off here; MAIL_URL turns it on.")


routes: list[BaseRoute] = [
    Route("/sign-in/email", as_page(ask), methods=["POST"]),
    Route("/sign-in/code", as_page(code_page)),
    Route("/sign-in/code", as_page(enter), methods=["POST"]),
    Route("/sign-in/link", as_page(follow), methods=["POST"]),
    Route("/sign-in/link/{token}", as_page(link_page)),
]
