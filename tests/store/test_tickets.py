"""A ticket to a stream stands for the token of whoever made it, whichever way the row came in."""

import secrets
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from store.events import tickets
from store.pool import Database
from store.visits import visits
from tests.tenants import Tenant


async def _visit(db: Database, tenant: Tenant) -> UUID:
    async with db.as_user(tenant.claims) as conn:
        row = await visits.create(conn, tenant_id=tenant.id, user_id=tenant.user_id)
    visit_id: UUID = row["id"]
    return visit_id


async def _issue(db: Database, tenant: Tenant, visit: UUID, claims: Any, seconds: float = 30) -> bytes:
    ticket_hash = secrets.token_bytes(32)
    async with db.as_user(tenant.claims) as conn:
        await tickets.issue(
            conn, ticket_hash=ticket_hash, tenant_id=tenant.id, visit_id=visit, claims=claims, seconds=seconds
        )
    return ticket_hash


async def test_a_ticket_carries_its_makers_claims(db: Database, tenant: Tenant) -> None:
    """What was issued is what is taken."""
    visit = await _visit(db, tenant)
    ticket_hash = await _issue(db, tenant, visit, tenant.claims)
    async with db.as_system() as conn:
        taken = await tickets.take(conn, ticket_hash)
    assert taken is not None
    assert (taken.visit_id, taken.claims) == (visit, tenant.claims)


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
