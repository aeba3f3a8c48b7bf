"""A person's own page: their companies, and where they are signed in. For everybody signed in."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from webauthn.helpers import bytes_to_base64url

from config.flags import nested
from gateway.accounts.company import YOU, company_page, render
from gateway.accounts.sign_in import ways
from gateway.auth.principal import Principal
from gateway.auth.sessions import end as end_browser_session
from gateway.context import context_of
from gateway.http.body import Trimmed, uuid_param
from gateway.http.input.form import read_form
from gateway.http.input.text import OneLine
from store.accounts import sessions
from store.errors import Forbidden, NotFound
from store.mail import mails, notices
from store.people import passkeys, people
from store.pool import Record

Choice = Literal["off", "mine", "all"]


class ChooseForm(BaseModel):
    """The company to act for."""

    model_config = ConfigDict(extra="ignore")

    company: UUID


class FoundForm(BaseModel):
    """The company to make."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[OneLine, Trimmed, Field(min_length=1, max_length=200)]


class NotificationsForm(BaseModel):
    """The choice of mails: nothing, one's own visits, estimates and links, or the whole company's."""

    model_config = ConfigDict(extra="ignore")

    opened: Choice
    question: Choice
    changes_requested: Choice
    accepted: Choice
    declined: Choice
    estimate_failed: Choice


async def page(request: Request, principal: Principal) -> Response:
    """Show the companies, the mails to get, and each browser that is signed in."""
    context = context_of(request)
    async with context.db.as_user(principal.claims) as conn:
        chosen = await mails.own_notifications(conn)
    async with context.db.as_system() as conn:
        found = await sessions.of_user(conn, principal.user_id)
        keys = await passkeys.of_user(conn, principal.user_id)
    return await render(
        request,
        principal,
        "you.html",
        topics=None if chosen is None else _topics(chosen),
        sessions=found,
        own=_session_id(principal),
        may_found=context.settings.sign_up == "open",
        has_passkeys=ways.is_on(context.settings, "passkey"),
        passkeys=[{**one, "path": bytes_to_base64url(one["credential_id"])} for one in keys],
    )


async def end_session(request: Request, principal: Principal) -> Response:
    """End one session, wherever it is; its streams end within a second."""
    session_id = uuid_param(request.path_params["session_id"], "session_id")
    async with context_of(request).db.as_system() as conn:
        if not await sessions.end(conn, principal.user_id, session_id):
            raise NotFound("This session is over already.")
    context_of(request).sessions.forget(str(session_id))
    return RedirectResponse(YOU, 303)


async def end_others(request: Request, principal: Principal) -> Response:
    """End every session but this one."""
    async with context_of(request).db.as_system() as conn:
        await sessions.end(conn, principal.user_id, None, but=_session_id(principal))
    return RedirectResponse(YOU, 303)


async def notify(request: Request, principal: Principal) -> Response:
    """Choose the mails to get from the company that this browser acts for."""
    form = await read_form(request, NotificationsForm)
    async with context_of(request).db.as_user(principal.claims) as conn:
        await mails.choose_notifications(conn, form.model_dump())
    return RedirectResponse(f"{YOU}#notifications", 303)


async def choose(request: Request, principal: Principal) -> Response:
    """Let this browser act for another company of the user."""
    form = await read_form(request, ChooseForm)
    await _choose(request, principal, form.company)
    return RedirectResponse("/", 303)


async def found(request: Request, principal: Principal) -> Response:
    """Make a company, where everybody may, and act for it."""
    settings = context_of(request).settings
    if settings.sign_up != "open":
        raise Forbidden("Companies are made by the operator of this server.")
    form = await read_form(request, FoundForm)
    async with context_of(request).db.as_system() as conn:
        company = await people.found_company(conn, principal.user_id, form.name, nested(settings.company_flags))
    await _choose(request, principal, company)
    return RedirectResponse("/", 303)


async def delete(request: Request, principal: Principal) -> Response:
    """Delete the user's account; their work for a company stays the company's."""
    async with context_of(request).db.as_system() as conn:
        await people.delete_account(conn, principal.user_id)
    context_of(request).sessions.forget(str(_session_id(principal)))
    response = RedirectResponse("/sign-in", 303)
    await end_browser_session(request, response)
    return response


async def _choose(request: Request, principal: Principal, company: UUID) -> None:
    session_id = _session_id(principal)
    async with context_of(request).db.as_system() as conn:
        if not await sessions.choose_company(conn, session_id, company):
            raise NotFound("You do not belong to this company, or not any more.")
    context_of(request).sessions.forget(str(session_id))


def _topics(chosen: Record) -> list[dict[str, str]]:
    usual = notices.usual_choice(chosen["role"])
    return [
        {"name": name, "words": words, "choice": chosen["choices"].get(name, usual)}
        for name, words in notices.TOPICS.items()
    ]


def _session_id(principal: Principal) -> UUID:
    return UUID(principal.session_id or "")  # `company_page` lets nobody in here without one


routes: list[BaseRoute] = [
    Route(YOU, company_page(page)),
    Route(f"{YOU}/sessions/{{session_id}}/end", company_page(end_session), methods=["POST"]),
    Route(f"{YOU}/sessions/end-others", company_page(end_others), methods=["POST"]),
    Route(f"{YOU}/delete", company_page(delete), methods=["POST"]),
    Route(f"{YOU}/notifications", company_page(notify), methods=["POST"]),
    Route(f"{YOU}/company", company_page(choose), methods=["POST"]),
    Route(f"{YOU}/companies", company_page(found), methods=["POST"]),
]
