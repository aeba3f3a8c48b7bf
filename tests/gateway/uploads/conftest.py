"""A visit to upload to, and hands to upload with."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import pytest

from store.objects.objects import ObjectStore
from tests.tenants import Tenant

Upload = Callable[..., Coroutine[Any, Any, httpx.Response]]


@pytest.fixture
async def visit(client: httpx.AsyncClient, tenant: Tenant) -> str:
    """Open a visit and return its id."""
    answer = await client.post("/v1/visits", json={"title": "Roof"}, headers=tenant.headers)
    assert answer.status_code == 201, answer.text
    visit_id: str = answer.json()["id"]
    return visit_id


@pytest.fixture
def upload(client: httpx.AsyncClient, tenant: Tenant, visit: str) -> Upload:
    """Give a hand that posts a file to the visit; keywords become headers, `x_media_id=...` for one."""

    async def post(body: bytes | AsyncIterator[bytes], content_type: str | None, **more: str) -> httpx.Response:
        headers = tenant.headers | {name.replace("_", "-"): value for name, value in more.items()}
        if content_type is not None:
            headers["content-type"] = content_type
        return await client.post(f"/v1/visits/{visit}/media", content=body, headers=headers)

    return post


async def nothing_of(objects: ObjectStore, tenant: Tenant) -> bool:
    """Tell whether the store holds no object and no part of this tenant's."""
    return not await objects.keys(f"{tenant.id}/") and not await objects.unfinished(f"{tenant.id}/")


async def allow(admin: Any, tenant: Tenant, media_bytes: int) -> None:
    """Say how much the tenant's media may take."""
    await admin.execute(
        "UPDATE tenant_settings SET limits = jsonb_build_object('media_bytes', $2::bigint) WHERE tenant_id = $1",
        *(tenant.id, media_bytes),
    )
