"""A gateway that knows a tenant's flags hears when they change, and finds out when it cannot hear."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from store.accounts import notified_cache
from tests.support.flags import set_flags
from tests.tenants import ALL_FLAGS, Tenant

WITHIN_SECONDS = 60.0


async def _visits(client: httpx.AsyncClient, tenant: Tenant) -> int:
    return (await client.get("/v1/visits", headers=tenant.headers)).status_code


async def test_a_change_by_sql_is_heard(client: httpx.AsyncClient, app: Starlette, admin: Any, tenant: Tenant) -> None:
    """Off and on again; what was known is not asked for in between."""
    assert await _visits(client, tenant) == 200
    await set_flags(admin, app, tenant, {})
    assert await _visits(client, tenant) == 404
    await set_flags(admin, app, tenant, ALL_FLAGS)
    assert await _visits(client, tenant) == 200


async def test_a_change_nobody_heard_of_is_found_by_age(
    client: httpx.AsyncClient, app: Starlette, admin: Any, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The word is lost on its way: what was known is good for a bounded time."""
    monkeypatch.setattr(app.state.context.hub, "on_flags", lambda _tenant_id: None)
    monkeypatch.setattr(notified_cache, "MAX_AGE_NOTIFIED", 0.5)
    assert await _visits(client, tenant) == 200
    await admin.execute("UPDATE tenant_settings SET feature_flags = '{}' WHERE tenant_id = $1", tenant.id)
    async with asyncio.timeout(WITHIN_SECONDS):
        while await _visits(client, tenant) != 404:
            pass
