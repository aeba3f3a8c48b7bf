"""A verified caller, as a token names it. Pure."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self
from uuid import UUID

from store.accounts.memberships import Role
from store.accounts.sessions import Session
from store.errors import Unauthenticated

NO_TENANT = NO_USER = UUID(int=0)
# Supabase's tokens have a `session_id` of their own.
SESSION_CLAIM = "scopekit_session"
_LAST_SECOND = 253_402_300_799  # the end of the year 9999, PostgreSQL's and Python's last common one


@dataclass(frozen=True)
class Principal:
    """A verified caller; `expires_at` is in epoch seconds.

    The token names the caller, and no more. `role` is the membership row's, once `authenticate` has read it.
    `session_id` is that of a browser's session. A user without a company has `NO_TENANT`, and no membership there.
    `identity` is the issuer and subject of a token that names no company, and of these alone: `gateway.auth.token_user`
    finds the account.

    `claims` are what the database sees: those its policies read, in the form it reads them. The rest of a token, such
    as the `user_metadata` a user writes at will, may hold what PostgreSQL's JSON refuses, and stays here.
    """

    user_id: UUID
    tenant_id: UUID
    expires_at: float
    claims: Mapping[str, Any]
    role: Role = "viewer"
    session_id: str | None = None
    identity: tuple[str, str] | None = None

    @cached_property
    def who(self) -> tuple[str, str]:
        """The tenant and the user as text, which log lines and streams want; written once for a token."""
        return str(self.tenant_id), str(self.user_id)

    def require_unexpired(self) -> None:
        """Pass while the token lives, without the leeway of a single request: a stream ends with it, within a second.

        Raises `Unauthenticated`.
        """
        if self.expires_at <= time.time():
            raise Unauthenticated("The token has expired; sign in again.", code="token_expired")

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any]) -> Self:
        """Read a verified token. The tenant is `app_metadata.tenant_id`, which only the issuer can write.

        A token of a known issuer may name none. Raises `Unauthenticated` when a needed claim is missing or malformed.
        """
        metadata = claims.get("app_metadata")
        issuer, subject = claims.get("iss"), claims.get("sub")
        names_no_company = not isinstance(metadata, Mapping) or "tenant_id" not in metadata
        if names_no_company and isinstance(issuer, str) and isinstance(subject, str):
            return cls(NO_USER, NO_TENANT, _moment(claims["exp"]), {}, identity=(issuer, subject))
        try:
            tenant_id = UUID(metadata["tenant_id"])  # type: ignore[index]
            user_id = UUID(claims["sub"])
        except (KeyError, TypeError, ValueError, AttributeError):
            detail = "The token names no user and tenant (sub, app_metadata.tenant_id)."
            raise Unauthenticated(detail, code="token_malformed") from None
        session_id = claims.get(SESSION_CLAIM)
        return cls.of_member(
            user_id,
            tenant_id,
            expires_at=_moment(claims["exp"]),
            session_id=session_id if isinstance(session_id, str) else None,
        )

    @classmethod
    def of_session(cls, session: Session) -> Self:
        """Return the user of a live session, for the company that it acts for."""
        return cls.of_member(
            session.user_id,
            session.tenant_id or NO_TENANT,
            expires_at=session.expires_at.timestamp(),
            session_id=str(session.id),
        )

    @classmethod
    def of_member(
        cls, user_id: UUID, tenant_id: UUID, *, expires_at: float = _LAST_SECOND, session_id: str | None = None
    ) -> Self:
        """Return a caller with the claims that the database sees."""
        seen = {
            "sub": str(user_id),
            "role": "authenticated",
            "exp": expires_at,
            "app_metadata": {"tenant_id": str(tenant_id)},
        }
        if session_id is not None:
            seen[SESSION_CLAIM] = session_id
        return cls(user_id, tenant_id, expires_at, seen, session_id=session_id)


def _moment(seconds: Any) -> float:
    """Read a claim of a time, at most the last second of 9999. Raises `Unauthenticated` for any other value."""
    try:
        found = float(seconds)
    except (OverflowError, TypeError, ValueError):
        found = math.inf
    if not math.isfinite(found):
        raise Unauthenticated("The token's times are out of range.", code="token_malformed")
    return min(found, _LAST_SECOND)
