"""Who gets in at /ops, and that nobody else does anything there."""

from typing import Any

import asyncpg
import httpx
import pytest

from gateway.app import all_routes
from store.ops import ops
from store.pool import Database
from store.queue import dead_letters
from tests.tenants import Admin, Tenant

ACTIONS = sorted(
    (route.path, method)  # type: ignore[attr-defined]
    for route in all_routes()
    if getattr(route, "path", "").startswith("/ops/")
    for method in (route.methods or set()) - {"HEAD"}  # type: ignore[attr-defined]
)


@pytest.mark.parametrize(("path", "method"), ACTIONS)
async def test_an_owner_of_a_tenant_is_no_operator(
    client: httpx.AsyncClient, tenant: Tenant, path: str, method: str
) -> None:
    """403 at every address, and 401 without a token: a company's administrator must see nothing of another."""
    address = path.replace("{letter_id}", str(tenant.id))
    for headers, status in ((tenant.headers, 403), ({}, 401)):
        body: dict[str, str] | None = None if method == "GET" else {}
        answer = await client.request(method, address, headers=headers, json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("mark", ["admin", True, ["admin"]])
async def test_no_mark_in_a_token_makes_an_operator(client: httpx.AsyncClient, tenant: Tenant, mark: Any) -> None:
    """The row does, and nothing that a token says."""
    metadata = tenant.claims["app_metadata"] | {"platform_role": mark}
    token = tenant.token(app_metadata=metadata)
    answer = await client.get("/ops/live", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 403


async def test_a_withdrawn_operator_is_refused_at_once(
    client: httpx.AsyncClient, admin: Admin, operator: Tenant
) -> None:
    """The next request is refused, with the token that let in before."""
    assert (await client.get("/ops", headers=operator.headers)).status_code == 200
    await admin.execute("DELETE FROM operators WHERE user_id = $1", operator.user_id)
    assert (await client.get("/ops", headers=operator.headers)).status_code == 403


async def test_an_operator_needs_no_tenant(client: httpx.AsyncClient, admin: Admin, operator: Tenant) -> None:
    """Operators are no tenant's: without any membership they still see the page."""
    await admin.execute("DELETE FROM memberships WHERE user_id = $1", operator.user_id)
    assert (await client.get("/ops", headers=operator.headers)).status_code == 200
    assert (await client.get("/v1/me", headers=operator.headers)).status_code == 403


async def test_the_database_asks_for_itself(db: Database, tenant: Tenant) -> None:
    """A route that forgot to ask would be refused there."""
    async with db.as_operator(tenant.claims) as conn:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="for operators"):
            await dead_letters.newest(conn, 1)
    async with db.as_system() as conn:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="for operators"):
            await ops.read_snapshot(conn)


async def test_a_stranger_is_shown_the_way_in(client: httpx.AsyncClient, tenant: Tenant, operator: Tenant) -> None:
    """The page leads to the sign-in page and back; an owner is refused, an operator's session lets in."""
    page = await client.get("/ops")
    assert (page.status_code, 'href="/sign-in?next=/ops"' in page.text) == (401, True)
    assert (await client.get("/ops", headers=tenant.headers)).status_code == 403
    own = {"cookie": f"scopekit_session={operator.session}", "host": "127.0.0.1:8000"}
    assert (await client.get("/ops", headers=own)).status_code == 200
