"""API keys in the Authorization header: `Bearer sk_...`, for programs that act for one company."""

from starlette.requests import HTTPConnection

from gateway.auth import credentials
from gateway.auth.credentials import Credential
from gateway.auth.principal import Principal
from gateway.context import context_of
from store.errors import Unauthenticated

PREFIX = "sk_"


def is_api_key(token: str) -> bool:
    """Tell an API key from a JWT."""
    return token.startswith(PREFIX)


def text_of(credential: Credential) -> str:
    """Return the key as its holder keeps it."""
    return f"{PREFIX}{credential}"


async def of_key(connection: HTTPConnection, token: str) -> Principal:
    """Return the caller by an API key. Raises `Unauthenticated`."""
    held = credentials.parse(token.removeprefix(PREFIX))
    found = None if held is None else await context_of(connection).api_keys.key(held.id)
    if held is None or found is None or not held.fits(found.secret_hash):
        raise Unauthenticated("This API key is unknown or revoked.")
    return Principal.of_member(found.id, found.tenant_id)
