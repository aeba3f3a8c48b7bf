"""Operators' rights: a user with a row in `operators`, and a token that lives."""

from starlette.requests import Request

from gateway.auth.auth import identify
from gateway.auth.principal import Principal
from gateway.context import context_of
from store.errors import Forbidden
from store.ops import operators


async def operator_of(request: Request) -> Principal:
    """Return the calling operator. Raises `Unauthenticated`, and `Forbidden` for tenants' owners too."""
    principal = await identify(request)
    principal.require_unexpired()
    await require_operator(request, principal)
    return principal


async def require_operator(request: Request, principal: Principal) -> None:
    """Pass while this user is an operator. Raises `Forbidden`."""
    async with context_of(request).db.connection() as conn:
        if not await operators.is_operator(conn, principal.user_id):
            raise Forbidden("This is for operators of ScopeKit; `scopekit operators add` makes one.")
