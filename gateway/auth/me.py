"""The caller: identity, company, role, and the flags that are on."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import authenticate
from gateway.context import context_of
from gateway.http.body import json_response
from store.tenants import tenants


async def me(request: Request) -> Response:
    """Answer {user_id, role, tenant: {id, name, is_test, currency, tax_rate, profile}, flags}."""
    principal = await authenticate(request)
    async with context_of(request).db.as_user(principal.claims) as conn:
        tenant = dict(await tenants.current(conn))
    flags = tenant.pop("feature_flags")
    return json_response({"user_id": principal.user_id, "role": principal.role, "tenant": tenant, "flags": flags})


routes = [Route("/v1/me", me)]
