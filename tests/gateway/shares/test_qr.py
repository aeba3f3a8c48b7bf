"""A link as a QR code: what it says, and for whom it is drawn."""

import io
import re

import httpx
import segno

from tests.gateway.shares.documents import Visit, make_share
from tests.tenants import Tenant


async def test_the_code_is_the_link(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """The very modules of the link's address, dark on white, and kept by nobody."""
    share = await make_share(client, tenant, visit)
    answer = await client.post(f"/v1/shares/{share['id']}/qr", json={"token": share["token"]}, headers=tenant.headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.headers["cache-control"] == "no-store"
    wanted = io.BytesIO()
    segno.make(share["url"], error="m", micro=False).save(wanted, kind="svg", scale=4, light="#ffffff", dark="#000000")
    paths = [re.findall(r' d="([^"]+)"', text) for text in (answer.text, wanted.getvalue().decode())]
    assert paths[0] == paths[1]
    assert len(paths[0]) == 2


async def test_only_tokens_and_own_shares_are_drawn(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, visit: Visit
) -> None:
    """404 for another tenant's share; 422 for what is no token, so that the code leads nowhere else."""
    share = await make_share(client, tenant, visit)
    path = f"/v1/shares/{share['id']}/qr"
    assert (await client.post(path, json={"token": share["token"]}, headers=other_tenant.headers)).status_code == 404
    assert (await client.post(path, json={"token": "//evil.example"}, headers=tenant.headers)).status_code == 422
