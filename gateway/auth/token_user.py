"""The user behind a token that names no company of ours, such as that of a Supabase user without app_metadata.

The token's issuer and subject name the account; at first the issuer's word on the e-mail address leads to it, by an
invitation. The company is the one that the header names, or the only one; membership is checked as for everybody.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from starlette.requests import HTTPConnection

from gateway.auth.principal import Principal
from gateway.context import Context, context_of
from store.accounts import sessions
from store.errors import Forbidden, InvalidInput, Unauthenticated
from store.people import sign_in
from store.people.sign_in import Proof

COMPANY_HEADER = "x-company-id"
# A new membership shows this late; one that has ended is found at once, by its row.
KEPT_SECONDS = 10.0
KEPT_USERS = 4096

_NO_ACCOUNT = "There is no account here for the user of this token; ask an owner of the company for an invitation."


@dataclass(frozen=True)
class _Known:
    user_id: UUID
    companies: tuple[UUID, ...]
    until: float


class TokenUsers:
    """Accounts of tokens seen lately, by issuer and subject."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    async def place(self, connection: HTTPConnection, principal: Principal, token: str) -> Principal:
        """Return the account behind a verified token, acting for a company.

        Raises `Unauthenticated` without an account, `Forbidden` without a company, `InvalidInput` when the header has
        to say which, `Unavailable` when the issuer has to be asked and does not answer.
        """
        assert principal.identity is not None  # noqa: S101 - the caller has looked
        known = self._known.get(principal.identity)
        if known is None or known.until <= time.monotonic():
            known = await self._find(context_of(connection), principal.identity, token)
            self._known[principal.identity] = known
            self._known.move_to_end(principal.identity)
            if len(self._known) > KEPT_USERS:
                self._known.popitem(last=False)
        company = _chosen(connection.headers.get(COMPANY_HEADER), known.companies)
        return Principal.of_member(known.user_id, company, expires_at=principal.expires_at)

    async def _find(self, context: Context, identity: tuple[str, str], token: str) -> _Known:
        issuer, subject = identity
        user_id = await _user_of(context, Proof("token", None, issuer, subject), is_open=False)
        if user_id is None and context.supabase is not None and issuer == context.supabase.issuer:
            person = await context.supabase.identity_of(token)
            if person is not None and person.subject == subject and person.email is not None:
                proof = Proof("token", person.email, issuer, subject, person.name)
                user_id = await _user_of(context, proof, is_open=context.settings.sign_up == "open")
        if user_id is None:
            raise Unauthenticated(_NO_ACCOUNT)
        async with context.db.as_system() as conn:
            companies = tuple(row["tenant_id"] for row in await sessions.companies_of(conn, user_id))
        return _Known(user_id, companies, time.monotonic() + KEPT_SECONDS)


async def _user_of(context: Context, proof: Proof, *, is_open: bool) -> UUID | None:
    async with context.db.as_system() as conn:
        return await sign_in.user_of(conn, proof, is_open=is_open)


def _chosen(header: str | None, companies: tuple[UUID, ...]) -> UUID:
    if header is not None:
        try:
            return UUID(header)
        except ValueError:
            raise InvalidInput(f"{COMPANY_HEADER} is the id of a company.", field=COMPANY_HEADER) from None
    if not companies:
        raise Forbidden("You belong to no company yet; ask an owner of one for an invitation.")
    if len(companies) > 1:
        raise InvalidInput(f"You belong to several companies: name one by {COMPANY_HEADER}.", field=COMPANY_HEADER)
    return companies[0]
