"""Flags changed under a gateway that runs in the test's own loop, and may remember what they were."""

import asyncio
from typing import Any

from starlette.applications import Starlette

from tests.tenants import Tenant

HEARD_SECONDS = 30.0


async def set_flags(admin: Any, app: Starlette, tenant: Tenant, flags: dict[str, Any]) -> None:
    """Write a tenant's flags and return once the gateway has heard of it."""
    hub, heard = app.state.context.hub, asyncio.Event()
    forget = hub.on_flags

    def hear(tenant_id: str) -> None:
        forget(tenant_id)
        if tenant_id == str(tenant.id):
            heard.set()

    hub.on_flags = hear
    try:
        await admin.execute("UPDATE tenant_settings SET feature_flags = $2 WHERE tenant_id = $1", tenant.id, flags)
        async with asyncio.timeout(HEARD_SECONDS):
            await heard.wait()
    finally:
        hub.on_flags = forget
