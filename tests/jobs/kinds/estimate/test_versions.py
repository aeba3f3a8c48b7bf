"""Estimates in the database: versions, hashes, and what the gateway reads back."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from store.errors import Conflict, NotFound
from store.estimates import estimates
from store.estimates.estimates import NewEstimate, NewLine
from store.pool import Connection, Database
from tests.tenants import Tenant

PROOF = {"source": "notes", "media_id": None, "quote": "x", "start_ms": None, "end_ms": None, "region": None}


@pytest.fixture
async def visit_id(admin: Connection, tenant: Tenant) -> UUID:
    """Make a visit."""
    made: UUID = await admin.fetchval("INSERT INTO site_visits (tenant_id) VALUES ($1) RETURNING id", tenant.id)
    return made


def new(tenant: Tenant, visit_id: UUID, *lines: NewLine) -> NewEstimate:
    """Make an estimate of two lines, one without a price."""
    priced = NewLine("Replace outlets", Decimal("2.500"), "each", Decimal("10.10"), evidence=[PROOF], confidence=0.8)
    unpriced = NewLine("Paint hall", Decimal(40), "sq ft", needs_review=True, review_reasons=["no price"])
    return NewEstimate(
        tenant_id=tenant.id,
        visit_id=visit_id,
        engine="local",
        model="rules",
        currency="USD",
        tax_rate=Decimal("0.0825"),
        lines=lines or (priced, unpriced),
        coverage=["1 photo was not analysed."],
    )


async def test_a_version_is_read_back_as_it_was_saved(service: Database, tenant: Tenant, visit_id: UUID) -> None:
    """Lines keep their order, their proof and their missing price; the sums follow from them."""
    async with service.as_system() as conn:
        saved = await estimates.save_version(conn, new(tenant, visit_id))
    async with service.as_system() as conn:
        assert await estimates.get(conn, saved["id"]) == saved
        assert await estimates.latest_for_visit(conn, visit_id) == saved
    first, second = saved["lines"]
    assert (saved["version"], saved["status"], saved["unpriced_count"]) == (1, "draft", 1)
    assert (saved["subtotal"], saved["tax"], saved["total"]) == (Decimal("25.25"), Decimal("2.08"), Decimal("27.33"))
    assert (first["position"], first["quantity"], first["amount"], first["evidence"]) == (
        1,
        "2.5",
        Decimal("25.25"),
        [PROOF],
    )
    assert (second["unit_price"], second["amount"], second["quantity"]) == (None, None, "40")
    assert saved["coverage"] == ["1 photo was not analysed."]


async def test_an_edit_makes_the_next_version(service: Database, tenant: Tenant, visit_id: UUID) -> None:
    """The old version stays as it was; an edit of an outdated one is refused with the newest number."""
    async with service.as_system() as conn:
        first = await estimates.save_version(conn, new(tenant, visit_id))
        second = await estimates.save_version(conn, new(tenant, visit_id), after=1)
        assert (first["version"], second["version"]) == (1, 2)
        with pytest.raises(Conflict) as caught:
            await estimates.save_version(conn, new(tenant, visit_id), after=1)
        assert caught.value.extra == {"latest_version": 2}
        assert (await estimates.get(conn, first["id"]))["version"] == 1


async def test_two_edits_at_once_make_one_version(service: Database, tenant: Tenant, visit_id: UUID) -> None:
    """Of two writers that started from the same version, one wins and the other is told."""

    async def edit(after: int | None) -> int | None:
        async with service.as_system() as conn:
            try:
                return int((await estimates.save_version(conn, new(tenant, visit_id), after=after))["version"])
            except Conflict:
                return None

    await edit(None)
    async with asyncio.timeout(20):
        outcomes = await asyncio.gather(edit(1), edit(1), edit(1))
    assert sorted(outcomes, key=str) == [2, None, None]


async def test_the_hash_is_of_what_the_customer_agrees_to(tenant: Tenant, visit_id: UUID) -> None:
    """Equal lines and prices hash alike; another price, amount, order or currency does not; a proof does not matter."""
    base = new(tenant, visit_id)
    first, second = base.lines
    assert replace(base, summary="other", coverage=[]).content_hash == base.content_hash
    assert (
        replace(base, lines=[replace(first, evidence=[], quantity=Decimal("2.5")), second]).content_hash
        == base.content_hash
    )
    others = [
        replace(base, currency="EUR"),
        replace(base, tax_rate=Decimal(0)),
        replace(base, lines=[second, first]),
        replace(base, lines=[replace(first, unit_price=Decimal("10.11")), second]),
        replace(base, lines=[replace(first, unit_price=None), second]),
        replace(base, lines=[replace(first, unit="ft"), second]),
    ]
    assert len({other.content_hash for other in (base, *others)}) == len(others) + 1


async def test_an_unknown_estimate_is_not_found(service: Database, tenant: Tenant, visit_id: UUID) -> None:
    """Nothing there is None for a visit, an error for an id."""
    async with service.as_system() as conn:
        assert await estimates.latest_for_visit(conn, visit_id) is None
        with pytest.raises(NotFound):
            await estimates.get(conn, uuid4())
        with pytest.raises(NotFound):
            await estimates.save_version(conn, new(tenant, uuid4()))


async def test_a_member_edits_under_row_level_security(
    db: Database, tenant: Tenant, other_tenant: Tenant, visit_id: UUID
) -> None:
    """The tenant's own user saves and reads; another tenant's sees nothing of it."""
    async with db.as_user(tenant.claims) as conn:
        saved = await estimates.save_version(conn, new(tenant, visit_id))
    async with db.as_user(other_tenant.claims) as conn:
        assert await estimates.latest_for_visit(conn, visit_id) is None
        with pytest.raises(NotFound):
            await estimates.get(conn, saved["id"])
        with pytest.raises(NotFound):
            await estimates.save_version(conn, new(tenant, visit_id))
