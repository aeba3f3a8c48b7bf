"""A ticket to a stream stands for the token of whoever made it, whichever way the row came in."""

import asyncio
import secrets
import time
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from store.events import tickets
from store.pool import Database
from store.visits import visits
from tests.tenants import Tenant

Connection = asyncpg.Connection


async def _visit(db: Database, tenant: Tenant) -> UUID:
    async with db.as_user(tenant.claims) as conn:
        row = await visits.create(conn, tenant_id=tenant.id, user_id=tenant.user_id)
    visit_id: UUID = row["id"]
    return visit_id


@pytest.fixture
async def tenant(tenant: Tenant) -> Tenant:
    """Give the tenant's user a token that ends in an hour."""
    return replace(tenant, claims={**tenant.claims, "exp": int(time.time()) + 3600})


async def _issue(db: Database, tenant: Tenant, visit: UUID, claims: Any, seconds: float = 30) -> bytes:
    ticket_hash = secrets.token_bytes(32)
    async with db.as_user(tenant.claims) as conn:
        await tickets.issue(
            conn, ticket_hash=ticket_hash, tenant_id=tenant.id, visit_id=visit, claims=claims, seconds=seconds
        )
    return ticket_hash


async def _use(db: Database, ticket_hash: bytes, visit: UUID, *, opens: bool = True) -> Any:
    async with db.as_system() as conn:
        return await tickets.use(conn, ticket_hash, visit, opens=opens)


async def test_a_ticket_carries_its_makers_claims(db: Database, tenant: Tenant) -> None:
    """What was issued is what is used, as often as it is used."""
    visit = await _visit(db, tenant)
    ticket_hash = await _issue(db, tenant, visit, tenant.claims)
    assert [await _use(db, ticket_hash, visit) for _ in range(3)] == [tenant.claims] * 3


async def test_an_opened_ticket_lives_as_long_as_its_claims(db: Database, admin: Connection, tenant: Tenant) -> None:
    """Until it opens a stream it ends in 30 s; a look at it changes nothing."""
    visit = await _visit(db, tenant)
    ticket_hash = await _issue(db, tenant, visit, tenant.claims)
    seconds = "SELECT extract(epoch FROM expires_at)::float FROM progress_tickets WHERE ticket_hash = $1"
    issued = await admin.fetchval(seconds, ticket_hash)
    assert await _use(db, ticket_hash, visit, opens=False) == tenant.claims
    assert await admin.fetchval(seconds, ticket_hash) == issued < tenant.claims["exp"]
    assert await _use(db, ticket_hash, visit) == tenant.claims
    assert await admin.fetchval(seconds, ticket_hash) == tenant.claims["exp"]


async def test_a_late_ticket_opens_nothing(db: Database, admin: Connection, tenant: Tenant) -> None:
    """One that nobody used in time is unknown, and swept when another opens a stream."""
    visit = await _visit(db, tenant)
    late, stale, good = [await _issue(db, tenant, visit, tenant.claims, seconds) for seconds in (-1, -90, 30)]
    assert [await _use(db, each, visit) for each in (late, stale)] == [None, None]
    assert await _use(db, good, visit) == tenant.claims
    kept = await admin.fetch("SELECT ticket_hash FROM progress_tickets WHERE visit_id = $1", visit)
    assert {row["ticket_hash"] for row in kept} == {late, good}


async def test_a_ticket_ends_with_the_token_it_came_from(db: Database, admin: Connection, tenant: Tenant) -> None:
    """Also one that has opened a stream."""
    visit = await _visit(db, tenant)
    ticket_hash = await _issue(db, tenant, visit, tenant.claims)
    ended = "UPDATE progress_tickets SET claims = jsonb_set(claims, '{exp}', '1700000000') WHERE ticket_hash = $1"
    await admin.execute(ended, ticket_hash)
    await _use(db, ticket_hash, visit)
    assert await _use(db, ticket_hash, visit) is None


async def test_a_ticket_raced_for_opens_for_all(db: Database, tenant: Tenant) -> None:
    """A client that comes back before its first request was answered is no other."""
    visit = await _visit(db, tenant)
    ticket_hash = await _issue(db, tenant, visit, tenant.claims)
    assert await asyncio.gather(*(_use(db, ticket_hash, visit) for _ in range(4))) == [tenant.claims] * 4


async def test_a_ticket_in_another_tenants_name_is_refused(db: Database, tenant: Tenant, other_tenant: Tenant) -> None:
    """A row of one's own tenant with a stranger's claims in it would open the stranger's streams."""
    theirs = await _visit(db, other_tenant)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _issue(db, tenant, theirs, other_tenant.claims)


async def test_a_ticket_cannot_outlive_its_token(db: Database, tenant: Tenant) -> None:
    """Neither by claims with a later end nor by a life of its own."""
    visit = await _visit(db, tenant)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _issue(db, tenant, visit, {**tenant.claims, "exp": 9_999_999_999})
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _issue(db, tenant, visit, tenant.claims, seconds=3600)
