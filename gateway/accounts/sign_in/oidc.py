"""A way in: OpenID Connect, by each issuer of OIDC_ISSUERS."""

import hmac
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from config.settings import Settings
from gateway.accounts.pages import as_page, safe_path, show
from gateway.accounts.sign_in import attempts
from gateway.accounts.sign_in.redirects import BEGUN, OVER, TOO_MANY, proof_of, take
from gateway.accounts.sign_in.sign_in import finish
from gateway.auth.providers.identity import ProviderRefused
from gateway.auth.providers.oidc_provider import OidcProvider
from gateway.context import context_of
from gateway.http.client_info import address_of, limit_key, public_origin
from store.errors import Forbidden, NotFound, Unavailable
from store.limits.shared_limits import Bucket


def providers_of(settings: Settings) -> Mapping[str, OidcProvider]:
    """Make our side of each issuer, by name."""
    return {each.name: OidcProvider(each) for each in settings.oidc_issuers}


async def begin(request: Request) -> Response:
    """Lead the browser to the issuer: a link, because a form may lead to no other site (CSP)."""
    provider, context = _provider(request), context_of(request)
    await context.limits.spend(Bucket(BEGUN, limit_key(address_of(request))), detail=TOO_MANY)
    response = Response(status_code=303, headers={"cache-control": "no-store"})
    next_path = safe_path(request.query_params.get("next"))
    attempt = await attempts.begin(request, response, _way(request), next_path)
    try:
        response.headers["location"] = await provider.authorization_url(
            _callback_url(request),
            state=attempt.derive("state"),
            nonce=attempt.derive("nonce"),
            verifier=attempt.derive("pkce"),
        )
    except ProviderRefused as refused:
        raise Forbidden(str(refused)) from None
    except Unavailable as away:
        return show(request, "message.html", status=503, problem=away.detail)
    return response


async def callback(request: Request) -> Response:
    """Take the person back from the issuer."""
    provider = _provider(request)
    attempt, next_path = await take(request, _way(request))
    if not hmac.compare_digest(request.query_params.get("state", "").encode(), attempt.derive("state").encode()):
        raise Forbidden(OVER)
    try:
        identity = await provider.identity(
            dict(request.query_params),
            _callback_url(request),
            nonce=attempt.derive("nonce"),
            verifier=attempt.derive("pkce"),
        )
    except ProviderRefused as refused:
        raise Forbidden(str(refused)) from None
    except Unavailable as away:
        return show(request, "message.html", status=503, problem=away.detail)
    return await finish(request, proof_of(_way(request), identity), next_path)


async def sign_out_there(request: Request) -> Response:
    """Lead the browser to where the issuer signs it out, and back here."""
    url = await _provider(request).end_session_url(f"{_origin(request)}/")
    return RedirectResponse(url or "/sign-in", 303)


def _provider(request: Request) -> OidcProvider:
    found = context_of(request).oidc_providers.get(request.path_params["name"])
    if found is None:
        raise NotFound("There is no such way to sign in here.")
    return found


def _way(request: Request) -> str:
    return f"oidc:{request.path_params['name']}"


def _origin(request: Request) -> str:
    return public_origin(request, context_of(request).settings)


def _callback_url(request: Request) -> str:
    return f"{_origin(request)}/sign-in/oidc/{request.path_params['name']}/callback"


routes: list[BaseRoute] = [
    Route("/sign-in/oidc/{name}", as_page(begin)),
    Route("/sign-in/oidc/{name}/callback", as_page(callback)),
    Route("/sign-out/oidc/{name}", as_page(sign_out_there)),
]
