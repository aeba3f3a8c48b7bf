"""What a connection says of who uses it, and how tenants share connections."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import pytest

from config.logging import bind
from store.errors import TooMany
from store.pool import Database
from tests.stack import Services
from tests.tenants import Tenant

SHOWN = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"


async def test_the_server_sees_whose_request_a_transaction_belongs_to(db: Database, tenant: Tenant) -> None:
    """By application_name, as a user and as the process; the next transaction of the connection is nobody's again."""
    with bind(correlation_id="from-the-phone-1"):
        async with db.as_user(tenant.claims) as conn:
            assert await conn.fetchval(SHOWN) == "test-gateway from-the-phone-1"
        async with db.as_system() as conn:
            assert await conn.fetchval(SHOWN) == "test-gateway from-the-phone-1"
    async with db.as_system() as conn:
        assert await conn.fetchval(SHOWN) == "test-gateway"
    async with db.as_user(tenant.claims) as conn:
        assert await conn.fetchval(SHOWN) == "test-gateway"


@pytest.mark.parametrize("given", ["x" * 128, "a:b.c-d_e"])
async def test_an_id_of_any_permitted_length_harms_nothing(db: Database, given: str) -> None:
    """The server shows as much of it as fits."""
    with bind(correlation_id=given):
        async with db.as_system() as conn:
            shown = await conn.fetchval(SHOWN)
    assert f"test-gateway {given}".startswith(shown)
    assert len(shown) > len("test-gateway ")


async def test_tenant_that_holds_its_share_leaves_connections_to_the_others(
    db: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    """Of four connections one is the process's own; a tenant gets two of the rest, another and its customers go on."""
    async with AsyncExitStack() as busy:
        for _ in range(2):
            await busy.enter_async_context(db.as_user(tenant.claims))
        more = asyncio.create_task(busy.enter_async_context(db.as_user(tenant.claims)))
        async with db.as_user(other_tenant.claims) as conn, db.connection() as own:
            assert await conn.fetchval("SELECT 1") + await own.fetchval("SELECT 1") == 2
            assert not more.done()
        more.cancel()
        await asyncio.wait({more})
        async with db.as_system(on_behalf_of=b"a link") as conn:
            assert await conn.fetchval("SELECT 1") == 1
    async with db.as_user(tenant.claims), db.as_user(tenant.claims):
        pass


async def test_tenant_past_its_share_is_told_to_come_back(
    services: Services, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the deadline, as its own doing; what it held works on."""
    db = await Database.open(services.gateway_url, name="test-share", size=2)
    monkeypatch.setattr(db._share, "_seconds", 0.1)
    try:
        async with db.as_user(tenant.claims) as conn:
            with pytest.raises(TooMany):
                async with db.as_user(tenant.claims):
                    pass
            assert await conn.fetchval("SELECT 1") == 1
    finally:
        await db.close()


@pytest.mark.parametrize("statement", ["SELECT 1 / 0", "SELECT pg_terminate_backend(pg_backend_pid())"])
async def test_statement_that_fails_leaves_no_slot_behind(db: Database, tenant: Tenant, statement: str) -> None:
    """Not by an error, and not when the server cuts the connection."""
    for _ in range(5):
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            async with db.as_user(tenant.claims) as conn:
                await conn.execute(statement)
    async with db.as_user(tenant.claims) as first, db.as_user(tenant.claims) as second:
        assert await first.fetchval("SELECT 1") + await second.fetchval("SELECT 1") == 2
