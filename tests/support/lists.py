"""A list of the API, page by page."""

from typing import Any

import httpx

from tests.tenants import Tenant


async def read_all(
    client: httpx.AsyncClient, tenant: Tenant, path: str, name: str, **params: Any
) -> list[dict[str, Any]]:
    """Follow `next` from the first page to the last; returns the rows under `name`."""
    found: list[dict[str, Any]] = []
    while True:
        answer = await client.get(path, params=params, headers=tenant.headers)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page[name]
        assert page["has_more"] == (page["next"] is not None)
        if not page["has_more"]:
            return found
        params["after"] = page["next"]
