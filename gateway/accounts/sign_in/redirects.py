"""Shared by the ways in that lead to another site and back."""

from starlette.requests import Request

from gateway.accounts.sign_in import attempts
from gateway.auth.credentials import Credential
from gateway.auth.providers.identity import Identity
from store.errors import Gone, RequestError
from store.limits.shared_limits import Limit, per_hour
from store.people.emails import normal
from store.people.sign_in import Proof

# Each begins a row: an address may begin as many as an office behind one address needs.
BEGUN = Limit("sign_ins_begun", burst=30, per_second=per_hour(120))
TOO_MANY = "Too many sign-ins were begun from here. Wait a few minutes and try again."
OVER = "This sign-in was begun in another browser, was finished already, or took too long. Try again."


async def take(request: Request, way: str) -> tuple[Credential, str]:
    """Use the browser's ceremony up: its credential, and where it leads. Raises `Gone` for one that is over."""
    taken = await attempts.take(request, way)
    if taken is None:
        raise Gone(OVER)
    return taken


def proof_of(way: str, identity: Identity) -> Proof:
    """Return what a provider has proven; an address that we would not take from a person counts as none."""
    return Proof(way, _email(identity.email), identity.issuer, identity.subject, identity.name)


def _email(email: str | None) -> str | None:
    try:
        return None if email is None else normal(email)
    except RequestError:
        return None
