"""API keys: programs that act for a company with a role of their own."""

import httpx
import pytest

from gateway.auth import api_keys, credentials
from gateway.auth.credentials import Credential
from store.accounts import api_keys as rows
from store.accounts.memberships import Role
from store.errors import Forbidden, NotFound
from store.pool import Database
from tests.support.waiting import until
from tests.tenants import Admin, Tenant, make_member


async def make_key(db: Database, tenant: Tenant, role: Role = "member") -> Credential:
    """Have a tenant's user make a key."""
    secret = credentials.new_secret()
    async with db.as_user(tenant.claims) as conn:
        return Credential(await rows.create(conn, "Export", role, credentials.digest(secret)), secret)


def bearer(key: Credential) -> dict[str, str]:
    """The header of a program with this key."""
    return {"authorization": f"Bearer {api_keys.text_of(key)}"}


async def test_a_key_acts_for_its_company_within_its_role(
    client: httpx.AsyncClient, db: Database, tenant: Tenant
) -> None:
    """A viewer's key reads and changes nothing; a member's makes a visit."""
    viewer, member = await make_key(db, tenant, "viewer"), await make_key(db, tenant)
    assert (await client.get("/v1/me", headers=bearer(viewer))).json()["role"] == "viewer"
    assert (await client.post("/v1/visits", json={"title": "x"}, headers=bearer(viewer))).status_code == 403
    assert (await client.post("/v1/visits", json={"title": "x"}, headers=bearer(member))).status_code == 201


async def test_a_revoked_key_is_out_within_a_second(client: httpx.AsyncClient, db: Database, tenant: Tenant) -> None:
    """Its membership goes with it, so that nothing remembered lets it in."""
    key = await make_key(db, tenant)
    assert (await client.get("/v1/me", headers=bearer(key))).status_code == 200
    async with db.as_user(tenant.claims) as conn:
        await rows.revoke(conn, key.id)
        assert await rows.list_all(conn) == []

    async def is_out() -> bool:
        return (await client.get("/v1/me", headers=bearer(key))).status_code in (401, 403)

    await until(is_out, 2)


async def test_a_wrong_secret_is_refused(client: httpx.AsyncClient, db: Database, tenant: Tenant) -> None:
    """As is a text of another form."""
    key = await make_key(db, tenant)
    for token in (api_keys.text_of(Credential(key.id, bytes(32))), "sk_x", "sk_"):
        answer = await client.get("/v1/me", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/company/keys", {"name": "Another", "role": "viewer"}),
        ("/company/people/invite", {"email": "jane@example.test", "role": "admin"}),
        ("/company/settings", {"name": "Ours now"}),
    ],
)
async def test_an_admins_key_makes_no_keys_and_manages_no_people(
    client: httpx.AsyncClient, db: Database, tenant: Tenant, admin: Admin, path: str, form: dict[str, str]
) -> None:
    """A key that leaked and is revoked leaves nothing behind that still opens."""
    key = await make_key(db, tenant, "admin")
    answer = await client.post(path, data=form, headers=bearer(key) | {"origin": "http://gateway.test"})
    assert (answer.status_code, answer.json()["code"]) == (403, "person_required")
    for table, count in (("api_keys", 1), ("invitations", 0)):
        assert await admin.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant.id) == count


async def test_only_hashes_of_keys_are_kept(db: Database, admin: Admin, tenant: Tenant) -> None:
    """The key is shown once."""
    key = await make_key(db, tenant)
    row = await admin.fetchrow("SELECT * FROM api_keys WHERE id = $1", key.id)
    assert row is not None
    assert key.secret not in row.values()


async def test_admins_alone_make_and_revoke_keys(
    db: Database, admin: Admin, tenant: Tenant, other_tenant: Tenant
) -> None:
    """A member is refused, and another company's key is as unknown as none."""
    member = await make_member(admin, tenant)
    with pytest.raises(Forbidden):
        await make_key(db, member)
    key = await make_key(db, tenant)
    for caller in (member, other_tenant):
        async with db.as_user(caller.claims) as conn:
            with pytest.raises(NotFound):
                await rows.revoke(conn, key.id)
