"""A program of the company reads who its people and keys are, page by page."""

import httpx
import pytest

from tests.gateway.accounts.conftest import OpenBrowser
from tests.gateway.accounts.test_company_pages import signed_in
from tests.support.lists import read_all
from tests.tenants import Admin, Tenant, make_member


async def test_people_and_keys_have_pages(
    client: httpx.AsyncClient, open_browser: OpenBrowser, admin: Admin, tenant: Tenant
) -> None:
    """Each once: people in the order in which they came, keys the newest first; a key is nobody, without a secret."""
    members = [await make_member(admin, tenant, role) for role in ("viewer", "member", "admin")]
    browser = await signed_in(open_browser, tenant)
    for name in ("One", "Two", "Three"):
        answer = await browser.post("/company/keys", data={"name": name, "role": "viewer"})
        assert answer.status_code == 200, answer.text
    people = await read_all(client, tenant, "/v1/people", "people", limit=2)
    keys = await read_all(client, tenant, "/v1/api-keys", "api_keys", limit=2)
    assert [one["user_id"] for one in people] == [str(one.user_id) for one in (tenant, *members)]
    assert [key["name"] for key in keys] == ["Three", "Two", "One"]
    assert set(keys[0]) == {"id", "name", "role", "created_at", "last_used_at"}


@pytest.mark.parametrize("path", ["/v1/people", "/v1/api-keys"])
async def test_only_admins_read_them(client: httpx.AsyncClient, admin: Admin, tenant: Tenant, path: str) -> None:
    """A member is told so."""
    member = await make_member(admin, tenant)
    assert (await client.get(path, headers=member.headers)).status_code == 403
