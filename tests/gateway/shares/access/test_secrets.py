"""Who can find a share: whoever holds its link, and nobody by asking the database."""

from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from gateway.shares.link_secrets import digest
from store.pool import Database
from tests.gateway.shares.documents import Visit, customer_of, make_share
from tests.tenants import Tenant

CUSTOMER = ("ask_question(bytea,bytea,text,text,text,text)",
            "share_by_token(bytea,bytea)", "try_passcode(bytea)", "open_share(bytea,bytea,text,integer,text,text)",
            "share_document(bytea,bytea)", "share_photo(bytea,bytea,uuid)", "share_logo(bytea,bytea)",
            "share_updates(bytea,bytea)", "log_share_activity(bytea,bytea,text,uuid,text,text)",
            "decide_share(bytea,bytea,text,text,text,text,text,text,text,text,text,text)")  # fmt: skip
INNER = ("thread_of(uuid)", "add_question(shares,text,text,text,text,text)",
         "live_share(bytea,bytea)", "document_of(uuid,uuid)", "cited_photos(uuid)", "terms_of(uuid)",
         "text_hash(text)", "certificate_of(share_decisions,estimates,integer)",
         "selection_of(estimates,text)", "settle_decision(shares,share_decisions,text,text)")  # fmt: skip


async def test_a_token_has_256_bits_and_only_its_hash_is_kept(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """43 characters of base64url, never the same twice; the row holds sha256 and the list does not repeat it."""
    shares = [await make_share(client, tenant, visit) for _ in range(5)]
    tokens = {share["token"] for share in shares}
    assert len(tokens) == 5
    assert {len(token) for token in tokens} == {43}
    for share in shares:
        row = await admin.fetchrow("SELECT * FROM shares WHERE id = $1", share["id"])
        hashes = await admin.fetch("SELECT token_hash FROM share_tokens WHERE share_id = $1", share["id"])
        assert [row["token_hash"] for row in hashes] == [digest(share["token"])]
        assert share["token"] not in str(dict(row))
    listed = await client.get(f"/v1/estimates/{visit.estimate['id']}/shares", headers=tenant.headers)
    assert not [token for token in tokens if token in listed.text]


@pytest.mark.parametrize("column", ["token_hash FROM share_tokens", "passcode_hash FROM shares"])
async def test_not_even_its_owner_can_list_hashes(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, db: Database, column: str
) -> None:
    """A token of the tenant reads its shares but no hash of them: nobody can list what opens a link."""
    await make_share(client, tenant, visit, passcode="blue door")
    async with db.as_user(tenant.claims) as conn:
        assert await conn.fetchval("SELECT count(id) FROM shares") == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.as_user(tenant.claims) as conn:
            await conn.fetch(f"SELECT {column}")


@pytest.mark.parametrize("claims", [None, {}, {"app_metadata": {}}, {"app_metadata": {"tenant_id": None}}])
async def test_without_a_tenant_there_is_no_share(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, db: Database, claims: dict[str, Any] | None
) -> None:
    """The login itself may not look; a token whose tenant is missing or null sees no row: NULL never passes."""
    await make_share(client, tenant, visit)
    if claims is None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.as_system() as conn:
                await conn.fetch("SELECT id FROM shares")
        return
    async with db.as_user(claims) as conn:
        assert await conn.fetch("SELECT id FROM shares") == []
        assert (await conn.execute("UPDATE shares SET revoked_at = now()")) == "UPDATE 0"


async def test_another_tenant_sees_and_ends_nothing(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, visit: Visit
) -> None:
    """For another tenant the estimate, its shares and the share are not there."""
    share = await make_share(client, tenant, visit)
    shares = f"/v1/estimates/{visit.estimate['id']}/shares"
    answers = [
        await client.get(shares, headers=other_tenant.headers),
        await client.post(shares, json={}, headers=other_tenant.headers),
        await client.post(f"/v1/shares/{share['id']}/revoke", headers=other_tenant.headers),
    ]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert (await customer_of(client, share).open()).status_code == 303


@pytest.mark.parametrize("function", CUSTOMER + INNER)
async def test_customers_functions_are_the_gateways_alone(admin: Any, function: str) -> None:
    """No role a token can name may call them; the gateway's login may call those it needs."""
    may = {
        role: await admin.fetchval("SELECT has_function_privilege($1, 'scopekit.' || $2, 'EXECUTE')", role, function)
        for role in ("anon", "authenticated", "scopekit_gateway")
    }
    assert may == {"anon": False, "authenticated": False, "scopekit_gateway": function in CUSTOMER}


async def test_null_matches_nothing(client: httpx.AsyncClient, tenant: Tenant, visit: Visit, db: Database) -> None:
    """A NULL in place of a token, a session or both finds no share, no document, no photo, and decides nothing."""
    share = await make_share(client, tenant, visit)
    await customer_of(client, share).open()
    token = digest(share["token"])
    async with db.as_system() as conn:
        for key in ((None, None), (token, None), (None, token)):
            assert await conn.fetchval("SELECT scopekit.share_document($1, $2)", *key) is None
            assert await conn.fetch("SELECT * FROM scopekit.share_photo($1, $2, $3)", *key, visit.cited) == []
            decided = await conn.fetchval(
                "SELECT scopekit.decide_share($1, $2, 'accepted', 'x', '', $3, '', '', '', '', '', '')",
                *key,
                visit.estimate["content_hash"],
            )
            assert decided == "closed"
        assert await conn.fetch("SELECT * FROM scopekit.share_by_token(NULL, NULL)") == []
        assert await conn.fetch("SELECT * FROM scopekit.try_passcode(NULL)") == []
        assert await conn.fetchval("SELECT scopekit.open_share(NULL, $1, NULL, 60, '', '')", token) == "unknown"
        live = await conn.fetchval("SELECT live FROM scopekit.share_by_token($1, NULL)", token)
        assert live is False


async def test_an_unset_expiry_counts_as_past(admin: Any) -> None:
    """The state of a share fails closed: NULL for the expiry is expired, NULL for the limit is no limit."""
    state = "SELECT share_state(NULL, $1::timestamptz, 5, NULL)"
    assert await admin.fetchval(state, None) == "expired"
    assert await admin.fetchval("SELECT share_state(NULL, now() + interval '1 s', 5, NULL)") == "ready"
    assert await admin.fetchval("SELECT share_state(NULL, now() + interval '1 s', 5, 5)") == "used_up"


async def test_a_share_cannot_be_moved_by_its_owner(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, db: Database
) -> None:
    """Views, limits, expiry and decisions are not the tenant's to write; only a revocation is."""
    await make_share(client, tenant, visit, max_views=1)
    for change in (
        "views = 0",
        "max_views = 9",
        "expires_at = now()",
        "recipient = ''",
        "locked_until = NULL",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.as_user(tenant.claims) as conn:
                await conn.execute(f"UPDATE shares SET {change}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.as_user(tenant.claims) as conn:
            await conn.execute("INSERT INTO share_decisions (share_id) VALUES ($1)", uuid4())
