"""Attempts to sign in: between the steps a browser holds an id and a secret, in a cookie of a quarter of an hour.

What has begun in one browser ends in that browser alone: nobody can be signed in to another's account by a link.
"""

from starlette.requests import Request
from starlette.responses import Response

from gateway.auth import credentials
from gateway.auth.credentials import Credential
from gateway.auth.sessions import SECURE_COOKIE, cookie_name, require_safe
from gateway.context import context_of
from store.people import sign_in

SECONDS = 900


def held(request: Request, way: str) -> Credential | None:
    """Return the browser's attempt by this way; None for a browser that did not begin here."""
    name = _name(request, way)
    return credentials.parse(request.cookies.get(name, "")) if name is not None else None


def keep(request: Request, response: Response, way: str, credential: Credential) -> None:
    """Give the browser its cookie for the next step."""
    require_safe(request)
    name = _name(request, way)
    assert name is not None  # noqa: S101 - `require_safe` has passed
    response.set_cookie(
        name,
        str(credential),
        max_age=SECONDS,
        path="/",
        secure=name.startswith("__Host-"),
        httponly=True,
        samesite="lax",
    )


def forget(request: Request, response: Response, way: str) -> None:
    """Take it back."""
    name = _name(request, way)
    if name is not None and name in request.cookies:
        response.delete_cookie(name, path="/", secure=name.startswith("__Host-"), httponly=True, samesite="lax")


async def begin(request: Request, response: Response, way: str, next_path: str) -> Credential:
    """Begin a ceremony that works once: `derive` gives its state, nonce or challenge, which nobody stores."""
    secret = credentials.new_secret()
    async with context_of(request).db.as_system() as conn:
        attempt_id = await sign_in.begin_attempt(conn, way, credentials.digest(secret), next_path)
    attempt = Credential(attempt_id, secret)
    keep(request, response, way, attempt)
    return attempt


async def take(request: Request, way: str) -> tuple[Credential, str] | None:
    """Use the browser's ceremony up: what `begin` returned, and where it leads; None for one that is over."""
    attempt = held(request, way)
    if attempt is None:
        return None
    async with context_of(request).db.as_system() as conn:
        next_path = await sign_in.take_attempt(conn, attempt.id, way, attempt.secret_hash)
    return None if next_path is None else (attempt, next_path)


def _name(request: Request, way: str) -> str | None:
    base = cookie_name(request)
    part = "".join(letter if letter.isalnum() else "-" for letter in way)
    if base is None:
        return None
    return f"{SECURE_COOKIE}-{part}" if base == SECURE_COOKIE else f"scopekit_{part}"
