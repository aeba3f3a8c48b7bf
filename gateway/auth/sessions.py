"""Sessions of browsers: an opaque cookie, rotated when rights change, ended within a second.

Over TLS the cookie is `__Host-scopekit`, which no other host can set. On a developer's own machine, and only there, a
session lives over plain HTTP too, under another name.
"""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from gateway.auth import credentials
from gateway.auth.credentials import Credential
from gateway.auth.principal import Principal
from gateway.context import context_of
from gateway.http.client_info import address_of, address_prefix, device_of, is_loopback
from store.accounts import sessions
from store.accounts.sessions import Session
from store.errors import Forbidden, Unauthenticated

SECURE_COOKIE = "__Host-scopekit"
LOOPBACK_COOKIE = "scopekit_session"
# Requests under way when the secret is replaced carry the one before.
GRACE = timedelta(seconds=60)

_ENDED = "Your session has ended; sign in again."


def cookie_name(connection: HTTPConnection) -> str | None:
    """Return the name of the session's cookie; None where a session cannot be kept safe."""
    if connection.url.scheme == "https":
        return SECURE_COOKIE
    return LOOPBACK_COOKIE if is_loopback(connection) else None


async def of_cookie(connection: HTTPConnection) -> Principal | None:
    """Return the caller by the cookie; None without one. Raises `Unauthenticated` for a session that is over."""
    held = _held(connection)
    if held is None:
        return None
    known = context_of(connection).sessions
    found = await known.session(held.id)
    if found is not None and not _holds(found, held):
        # Its secret may have been replaced a moment ago, at another gateway too, and the notification be on its way.
        known.forget(str(held.id))
        found = await known.session(held.id)
    if found is None or not _holds(found, held) or found.expires_at.timestamp() <= time.time():
        raise Unauthenticated(_ENDED)
    return Principal.of_session(found)


async def require_live(connection: HTTPConnection, principal: Principal) -> None:
    """Pass while a principal's session lives and acts for the same company. Raises `Unauthenticated`."""
    session_id = UUID(principal.session_id or "")
    found = await context_of(connection).sessions.session(session_id)
    if found is None or found.tenant_id != principal.tenant_id:
        raise Unauthenticated(_ENDED)


async def start(request: Request, response: Response, *, user_id: UUID, way: str) -> None:
    """Sign the browser in, in place of any user signed in there. Raises `Forbidden` without TLS."""
    require_safe(request)
    held, secret = _held(request), credentials.new_secret()
    async with context_of(request).db.as_system() as conn:
        session_id, _ = await sessions.start(
            conn,
            user_id=user_id,
            secret_hash=credentials.digest(secret),
            way=way,
            device=device_of(request.headers.get("user-agent", "")),
            address_prefix=address_prefix(address_of(request)),
            replaces=None if held is None else held.id,
        )
    _keep(request, response, Credential(session_id, secret))


async def rotate_if_due(request: Request, response: Response) -> None:
    """Replace the secret of a session whose user's rights have changed since it was given out."""
    held = _held(request)
    found = None if held is None else await context_of(request).sessions.session(held.id)
    if held is None or found is None or not found.must_rotate or not held.fits(found.secret_hash):
        return
    fresh = Credential(held.id, credentials.new_secret())
    async with context_of(request).db.as_system() as conn:
        if await sessions.rotate(conn, held.id, held.secret_hash, fresh.secret_hash):
            _keep(request, response, fresh)


async def end(request: Request, response: Response) -> str | None:
    """Sign the browser out, and return the way that it had signed in by; harmless when it is not signed in."""
    principal, way = await _or_none(request), None
    if principal is not None and principal.session_id is not None:
        session_id = UUID(principal.session_id)
        async with context_of(request).db.as_system() as conn:
            ways = {row["id"]: row["way"] for row in await sessions.of_user(conn, principal.user_id)}
            way = ways.get(session_id)
            await sessions.end(conn, principal.user_id, session_id)
        context_of(request).sessions.forget(principal.session_id)
    name = cookie_name(request)
    if name is not None:
        response.delete_cookie(name, path="/", secure=name == SECURE_COOKIE, httponly=True, samesite="lax")
    return way


def require_safe(request: Request) -> None:
    """Pass where a session can be kept safe. Raises `Forbidden`."""
    if cookie_name(request) is None:
        raise Forbidden("Signing in needs HTTPS. Behind a proxy, it must send `X-Forwarded-Proto: https`.")


async def _or_none(request: Request) -> Principal | None:
    try:
        return await of_cookie(request)
    except Unauthenticated:
        return None


def _held(connection: HTTPConnection) -> Credential | None:
    """Return the cookie's credential. Raises `Unauthenticated` for one that we never gave out."""
    name = cookie_name(connection)
    text = connection.cookies.get(name) if name is not None else None
    return credentials.parse(text) if text else None


def _holds(found: Session, held: Credential) -> bool:
    """Compare the secret with the one in force, and for a minute after a rotation with the one before."""
    return held.fits(found.secret_hash) or (
        datetime.now(UTC) - found.rotated_at < GRACE and held.fits(found.previous_hash)
    )


def _keep(request: Request, response: Response, credential: Credential) -> None:
    name = cookie_name(request)
    assert name is not None  # noqa: S101 - `require_safe` has passed
    response.set_cookie(
        name,
        str(credential),
        max_age=sessions.DAYS * 86_400,
        path="/",
        secure=name == SECURE_COOKIE,
        httponly=True,
        samesite="lax",
    )
