"""Who may see and do what operators may: `app_metadata.platform_role` is `admin` in a verified token that lives."""

from starlette.requests import Request

from gateway.auth.auth import Principal, authenticate
from store.errors import Forbidden


async def operator_of(request: Request) -> Principal:
    """Return the operator who asks. Raises `Unauthenticated`, and `Forbidden` for tenants' owners too."""
    principal = await authenticate(request)
    principal.require_unexpired()
    if not principal.is_operator:
        raise Forbidden("This is for operators of ScopeKit: their token says so in `app_metadata.platform_role`.")
    return principal
