"""Ways in: Supabase Auth, by password, by a mailed code, or by a social provider of the project."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from config.settings import Settings
from gateway.accounts.pages import as_page, require_our_form, safe_path, show, show_problem
from gateway.accounts.sign_in import attempts, ways
from gateway.accounts.sign_in.redirects import BEGUN, TOO_MANY, proof_of, take
from gateway.accounts.sign_in.sign_in import finish
from gateway.auth.providers.identity import ProviderRefused
from gateway.auth.providers.supabase_auth import SupabaseAuth
from gateway.context import context_of
from gateway.http.client_info import address_of, limit_key, public_origin
from gateway.http.input.form import read_form
from store.errors import Forbidden, NotFound, RequestError, Unavailable
from store.limits.shared_limits import Bucket, Limit, mailbox_key, per_hour
from store.people.emails import normal

WAY = "supabase"
# Supabase counts too, but by our address, which everybody here shares.
TRIES_BY_MAILBOX = Limit("supabase_tries_mailbox", burst=10, per_second=per_hour(20))
TRIES_BY_ADDRESS = Limit("supabase_tries_address", burst=30, per_second=per_hour(60))

_TOO_MANY_TRIES = "Too many tries. Wait a few minutes and try again."


class PasswordForm(BaseModel):
    """An address with its password, or with `code=1` a request for a mailed code."""

    model_config = ConfigDict(extra="ignore")

    email: Annotated[str, StringConstraints(max_length=320)]
    password: Annotated[str, StringConstraints(max_length=1000)] = ""
    code: str = ""
    next: Annotated[str, StringConstraints(max_length=500)] = "/"


class SupabaseCodeForm(BaseModel):
    """The mailed code."""

    model_config = ConfigDict(extra="ignore")

    email: Annotated[str, StringConstraints(max_length=320)]
    code: Annotated[str, StringConstraints(max_length=40)]
    next: Annotated[str, StringConstraints(max_length=500)] = "/"


def auth_of(settings: Settings) -> SupabaseAuth | None:
    """Make our side of the project; None without SUPABASE_ANON_KEY."""
    if settings.supabase_url is None or settings.supabase_anon_key is None:
        return None
    service = settings.supabase_service_role_key
    return SupabaseAuth(
        settings.supabase_url,
        settings.supabase_anon_key.get_secret_value(),
        None if service is None else service.get_secret_value(),
    )


async def enter(request: Request) -> Response:
    """Sign in by password, or have a code mailed."""
    auth = _auth(request)
    require_our_form(request)
    form = await read_form(request, PasswordForm)
    next_path = safe_path(form.next)
    try:
        email = await _counted(request, form.email)
        if form.code:
            await auth.send_code(email)
            return show(request, "sign_in/supabase_code.html", email=email, next=next_path)
        identity = await auth.with_password(email, form.password)
    except (RequestError, ProviderRefused, Unavailable) as problem:
        settings = context_of(request).settings
        shown = {"ways": ways.ways_on(settings), "sign_up": settings.sign_up, "next": next_path, "email": form.email}
        return _refusal(request, "sign_in/sign_in.html", problem, **shown)
    return await finish(request, proof_of(WAY, identity), next_path)


async def enter_code(request: Request) -> Response:
    """Sign in by the mailed code."""
    auth = _auth(request)
    require_our_form(request)
    form = await read_form(request, SupabaseCodeForm)
    next_path = safe_path(form.next)
    try:
        identity = await auth.with_code(await _counted(request, form.email), form.code.strip())
    except (RequestError, ProviderRefused, Unavailable) as problem:
        return _refusal(request, "sign_in/supabase_code.html", problem, email=form.email, next=next_path)
    return await finish(request, proof_of(WAY, identity), next_path)


async def begin(request: Request) -> Response:
    """Lead the browser to a social provider of the project."""
    auth, context = _auth(request), context_of(request)
    provider = request.path_params["provider"]
    if provider not in context.settings.supabase_providers:
        raise NotFound("There is no such way to sign in here.")
    await context.limits.spend(Bucket(BEGUN, limit_key(address_of(request))), detail=TOO_MANY)
    response = Response(status_code=303, headers={"cache-control": "no-store"})
    attempt = await attempts.begin(request, response, WAY, safe_path(request.query_params.get("next")))
    back = f"{public_origin(request, context.settings)}/sign-in/supabase/callback"
    response.headers["location"] = auth.authorization_url(provider, back, attempt.derive("pkce"))
    return response


async def callback(request: Request) -> Response:
    """Take the person back; only the browser that began has the verifier of the code."""
    auth = _auth(request)
    attempt, next_path = await take(request, WAY)
    try:
        identity = await auth.with_social(dict(request.query_params), attempt.derive("pkce"))
    except ProviderRefused as refused:
        raise Forbidden(str(refused)) from None
    except Unavailable as away:
        return show(request, "message.html", status=503, problem=away.detail)
    return await finish(request, proof_of(WAY, identity), next_path)


async def _counted(request: Request, typed: str) -> str:
    """Return the address as we keep it, one try poorer. Raises `Unprocessable`, `TooMany`."""
    email = normal(typed)
    await context_of(request).limits.spend(
        Bucket(TRIES_BY_ADDRESS, limit_key(address_of(request))),
        Bucket(TRIES_BY_MAILBOX, mailbox_key(email)),
        detail=_TOO_MANY_TRIES,
    )
    return email


def _refusal(request: Request, template: str, problem: Exception, **shown: object) -> Response:
    if isinstance(problem, RequestError):
        return show_problem(request, template, problem, **shown)
    status = 503 if isinstance(problem, Unavailable) else 403
    return show(request, template, status=status, problem=str(problem), **shown)


def _auth(request: Request) -> SupabaseAuth:
    found = context_of(request).supabase
    if found is None:
        raise NotFound("There is no such way to sign in here; SUPABASE_ANON_KEY turns it on.")
    return found


routes: list[BaseRoute] = [
    Route("/sign-in/supabase", as_page(enter), methods=["POST"]),
    Route("/sign-in/supabase/code", as_page(enter_code), methods=["POST"]),
    Route("/sign-in/supabase/callback", as_page(callback)),
    Route("/sign-in/supabase/with/{provider}", as_page(begin)),
]
