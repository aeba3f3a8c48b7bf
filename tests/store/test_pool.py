"""What a connection says of who uses it."""

import pytest

from config.logging import bind
from store.pool import Database
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
