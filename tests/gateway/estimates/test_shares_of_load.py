"""Searches and price files of one tenant beside those of another."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from store.estimates import price_book
from store.fair_share import FairShare
from store.pool import Database
from tests.gateway.shares.documents import client_of
from tests.tenants import Tenant

if TYPE_CHECKING:
    import asyncpg

HEAD = b"code,description,category,unit,unit_price\n"
WAYS = [
    ("GET", "/v1/price-items?q=gutter", None),
    ("GET", "/v1/price-items/export", None),
    ("POST", "/v1/price-items/import", HEAD + b",Awning,,each,5\n"),
]


@pytest.fixture
async def full(app: Any, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    """Call a gateway whose searches and files this tenant has its share of, and where no place is left to wait."""
    searches, transfers = (FairShare(2, places=0, seconds=1) for _ in range(2))
    app.state.context = replace(app.state.context, searches=searches, transfers=transfers)
    async with client_of(app) as client, searches.slot(tenant.id), transfers.slot(tenant.id):
        yield client


@pytest.mark.parametrize(("method", "path", "body"), WAYS)
async def test_tenant_over_its_share_gets_429_and_the_other_its_answer(
    full: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, method: str, path: str, body: bytes | None
) -> None:
    """With Retry-After and what to do; the other tenant notices nothing."""
    kind = {"content-type": "text/csv"}
    refused = await full.request(method, path, content=body, headers=tenant.headers | kind)
    assert (refused.status_code, refused.headers["content-type"]) == (429, "application/problem+json")
    assert int(refused.headers["retry-after"]) >= 1
    assert "Try again" in refused.json()["detail"]
    assert (await full.request(method, path, content=body, headers=other_tenant.headers | kind)).status_code == 200


async def test_likeness_that_takes_too_long_is_left_out(
    db: Database, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The items that hold the words come all the same, and the transaction goes on."""
    slow = "-- name: resembling_items\nSELECT id FROM pg_sleep(30), resembling_price_items($1, $2, $3, $4);"
    monkeypatch.setattr(price_book.SQL, "resembling_items", slow, raising=False)
    monkeypatch.setattr(price_book.SQL, "bound_search", "SET LOCAL statement_timeout = '200ms'", raising=False)
    async with db.as_user(tenant.claims) as conn:
        found = await price_book.find(conn, "gutter", 50)
        assert [row["description"] for row in found] == ["Seamless aluminum gutter"]
        assert await conn.fetchval("SELECT 1") == 1


@pytest.mark.parametrize(("before", "found_by_likeness"), [(0, True), (60, True), (200, False)])
async def test_likeness_looks_at_the_beginning_of_a_description(
    client: httpx.AsyncClient, tenant: Tenant, before: int, found_by_likeness: bool
) -> None:
    """A slip of the finger finds what stands among the first 100 characters; the word itself is found anywhere."""
    item = {"description": f"{'ab ' * (before // 3)}chandelier{' cd' * 80}", "unit": "each", "unit_price": "9"}
    assert (await client.post("/v1/price-items", json=item, headers=tenant.headers)).status_code == 201
    for query, found in (("chandelier", True), ("chandeleir", found_by_likeness)):
        answer = await client.get("/v1/price-items", params={"q": query}, headers=tenant.headers)
        assert bool(answer.json()["price_items"]) == found, query


async def test_unchanged_items_of_an_import_are_not_written(
    client: httpx.AsyncClient, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """They count as updated, and their rows stay as they are: each would cost all its entries in the indexes."""
    headers = tenant.headers | {"content-type": "text/csv"}
    book = (await client.get("/v1/price-items/export", headers=headers)).content
    rows = "SELECT xmin::text FROM price_items WHERE tenant_id = $1 ORDER BY id"
    before = await admin.fetch(rows, tenant.id)
    answer = await client.post("/v1/price-items/import", content=book, headers=headers)
    assert answer.json() == {"added": 0, "updated": len(before)}
    assert await admin.fetch(rows, tenant.id) == before
