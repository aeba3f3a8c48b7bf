"""The caller, by a JWT or an API key in the Authorization header, or by the cookie of a browser's session."""

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import jwt
from starlette.requests import HTTPConnection

from config.flags import Flag
from config.logging import note
from config.settings import Settings
from gateway.auth import api_keys, sessions
from gateway.auth.jwks import KeySet
from gateway.auth.principal import Principal
from gateway.auth.token_cache import KEPT_SECONDS, TokenCache
from gateway.context import Context, context_of
from gateway.http.body import RECHECK
from store.accounts.memberships import Role, reaches
from store.errors import Forbidden, NotFound, Unauthenticated

_ASYMMETRIC = ("RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA")
_LEEWAY_SECONDS = 5
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

NO_MEMBER = "You are not a member of this tenant, or not any more; ask its owner."
_TOO_LITTLE = {
    "member": "A viewer may look and not change anything; ask an owner of the tenant for more.",
    "admin": "This is for admins and owners of the tenant.",
    "owner": "This is for owners of the tenant.",
}


class Authenticator:
    """Verifies tokens against every key in force: several HS256 secrets at once, and a JWKS."""

    def __init__(self, settings: Settings) -> None:
        self._secrets = [secret.get_secret_value() for secret in settings.jwt_secrets]
        self._keys = KeySet(settings.jwks_url) if settings.jwks_url else None
        self._audience = settings.jwt_audience
        self._issuer = settings.issuer
        self._lately = TokenCache()

    async def verify(self, token: str) -> Principal:
        """Return the token's principal; raises `Unauthenticated` with a reason that reveals no key."""
        principal = self._lately.get(token)
        if principal is None:
            claims, seconds = await self._verified(token)
            # Of an issuer that is not checked, a subject names nobody.
            principal = Principal.from_claims(claims if self._issuer else {**claims, "iss": None})
            self._lately.keep(token, principal, seconds)
        return principal

    async def _verified(self, token: str) -> tuple[dict[str, Any], float]:
        """Return a token's claims, and for how long they may be remembered."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise Unauthenticated("The token is not a JWT.", code="token_malformed") from None
        if header.get("alg") == "HS256":
            return self._verify_symmetric(token), KEPT_SECONDS
        return await self._verify_asymmetric(token, header)

    def _verify_symmetric(self, token: str) -> dict[str, Any]:
        for secret in self._secrets:
            try:
                return self._decode(token, secret, ["HS256"])
            except jwt.InvalidSignatureError:
                continue
        raise Unauthenticated("The token is not signed by a key in force.")

    async def _verify_asymmetric(self, token: str, header: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
        algorithm, kid = header.get("alg"), header.get("kid")
        if self._keys is None or algorithm not in _ASYMMETRIC or not isinstance(kid, str):
            raise Unauthenticated("The token is not signed in a way accepted here.", code="token_malformed")
        key = await self._keys.find(kid)
        if key is None or key.algorithm_name != algorithm:
            raise Unauthenticated("The token is not signed by a key in force.")
        try:
            return self._decode(token, key, [algorithm]), self._keys.believed_seconds
        except jwt.InvalidSignatureError:
            raise Unauthenticated("The token is not signed by a key in force.") from None

    def _decode(self, token: str, key: Any, algorithms: list[str]) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "sub", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired; sign in again.", code="token_expired") from None
        except jwt.InvalidSignatureError:
            raise
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"The token does not hold: {error}.", code="token_malformed") from None
        except (OverflowError, ValueError):  # `exp`, `iat` or `nbf` of 1e400
            raise Unauthenticated("The token's times are out of range.", code="token_malformed") from None
        return claims


async def identify(connection: HTTPConnection) -> Principal:
    """Return the caller by token, key or cookie alone, and put them on the log lines of this request.

    For callers that ask the membership row themselves. Raises `Unauthenticated`, and `Forbidden` when a cookie alone
    vouches for a change that another site may have sent.
    """
    principal = await _caller(connection)
    tenant_id, user_id = principal.who
    note(tenant_id=tenant_id, user_id=user_id)
    return principal


async def authenticate(connection: HTTPConnection, *, min_role: Role | None = None) -> Principal:
    """Return the caller, with the role that their membership row gives them now.

    Without `min_role` anybody of the tenant may read, and all but viewers may change. A body asks again as it arrives.
    Raises as `identify` does, and `Forbidden` for less than the role.
    """
    principal = await identify(connection)
    needed = min_role or ("viewer" if connection.scope.get("method", "GET") in _SAFE_METHODS else "member")
    recheck = partial(_require_role, context_of(connection), principal, needed)
    role = await recheck()
    connection.scope[RECHECK] = recheck
    return replace(principal, role=role)


async def _require_role(context: Context, principal: Principal, min_role: Role) -> Role:
    """Return the caller's role now. Raises `Forbidden` when it is less than `min_role`."""
    role = await context.memberships.role(principal.tenant_id, principal.user_id)
    if role is None:
        raise Forbidden(NO_MEMBER, code="not_a_member")
    if not reaches(role, min_role):
        raise Forbidden(_TOO_LITTLE[min_role], code="role_too_low")
    return role


async def admit(connection: HTTPConnection, *, min_role: Role | None = None) -> Principal:
    """Return the caller, of a tenant that has visits at all. Raises as `authenticate` and `require_flag` do."""
    principal = await authenticate(connection, min_role=min_role)
    await require_flag(connection, principal, Flag.VISITS)
    return principal


async def require_flag(connection: HTTPConnection, principal: Principal, flag: Flag) -> None:
    """Pass when the tenant's flag is on.

    Raises `NotFound` for a part the tenant does not have, `Forbidden` for estimation, whose visits it can see.
    """
    if not await context_of(connection).flags.is_on(principal.tenant_id, flag):
        detail = f"`{flag}` is not enabled for this tenant; ask an administrator to turn it on."
        if flag is Flag.ESTIMATION:
            raise Forbidden(detail, code="estimation_off")
        raise NotFound(detail, code="feature_off")


def require_person(connection: HTTPConnection) -> None:
    """Pass unless an API key asks: one that leaks must not make others, which would outlive it. Raises `Forbidden`."""
    if api_keys.is_api_key(_bearer_token(connection)):
        raise Forbidden("An API key manages neither people nor keys; sign in for that.", code="person_required")


def _bearer_token(connection: HTTPConnection) -> str:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def _caller(connection: HTTPConnection) -> Principal:
    token = _bearer_token(connection)
    if token:
        if api_keys.is_api_key(token):
            return await api_keys.of_key(connection, token)
        verified = await context_of(connection).auth.verify(token)
        if verified.identity is None:
            return verified
        return await context_of(connection).token_users.place(connection, verified, token)
    principal = await sessions.of_cookie(connection)
    if principal is None:
        raise Unauthenticated("Sign in, or send `Authorization: Bearer <token>`.", code="token_missing")
    _require_same_origin(connection)
    return principal


def _require_same_origin(connection: HTTPConnection) -> None:
    """Refuse a cross-site change that rides on the cookie; SameSite=Lax alone trusts sibling subdomains."""
    if connection.scope.get("method", "GET") in _SAFE_METHODS:
        return
    own = connection.headers.get("host")
    # Either scheme: TLS may end at a proxy.
    if connection.headers.get("origin") not in (f"https://{own}", f"http://{own}"):
        raise Forbidden("A change by session cookie must come from this site's own pages.", code="foreign_origin")


def mint(settings: Settings, *, user_id: UUID, tenant_id: UUID, seconds: int) -> str:
    """Sign a token with the newest HS256 secret: for development and for the demo login."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": str(user_id),
        "aud": settings.jwt_audience,
        "iat": now,
        "exp": now + seconds,
        "role": "authenticated",
        "app_metadata": {"tenant_id": str(tenant_id)},
    }
    if settings.issuer:
        claims["iss"] = settings.issuer
    return jwt.encode(claims, settings.jwt_secrets[0].get_secret_value(), algorithm="HS256")
