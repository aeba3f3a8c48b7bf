"""The price book: search it by resembling words, add to it."""

import httpx
import pytest

from tests.tenants import PRICE_BOOK, Tenant


async def _names(client: httpx.AsyncClient, tenant: Tenant, **query: str) -> list[str]:
    answer = await client.get("/v1/price-items", params=query, headers=tenant.headers)
    assert answer.status_code == 200, answer.text
    return [item["description"] for item in answer.json()["price_items"]]


async def test_the_whole_book_is_listed_by_category(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """Without a query all items come, prices as strings."""
    answer = await client.get("/v1/price-items", headers=tenant.headers)
    items = answer.json()["price_items"]
    assert len(items) == len(PRICE_BOOK)
    assert [item["category"] for item in items] == sorted(item["category"] for item in items)
    door = next(item for item in items if item["code"] == "DOO-01")
    assert (door["unit_price"], door["unit"]) == ("310.00", "each")


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("gutter", "Seamless aluminum gutter"),
        ("guter", "Seamless aluminum gutter"),
        ("WATER HEATER", "Water heater, 50 gallon, installed"),
        ("toilét", "Toilet replacement"),
        ("la", "General labor"),
        ("lab-01", "General labor"),
        ("50 gallon", "Water heater, 50 gallon, installed"),
    ],
)
async def test_a_search_forgives(client: httpx.AsyncClient, tenant: Tenant, query: str, first: str) -> None:
    """Case, accents, a slip of the finger, a fragment and a code find their item first."""
    assert (await _names(client, tenant, q=query))[0] == first


@pytest.mark.parametrize(
    "query", ["zeppelin", "%", "_", "\\", "100%", "\uff05", "a\uff3f\uff3f\uff3fr", "\uff3c", "\u2216"]
)
async def test_a_search_finds_only_what_resembles(client: httpx.AsyncClient, tenant: Tenant, query: str) -> None:
    """A stranger word finds nothing, and a wildcard is a character, also a fullwidth one."""
    assert await _names(client, tenant, q=query) == []


async def test_a_limit_limits(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """Between 1 and 200; anything else is 400."""
    assert len(await _names(client, tenant, limit="3")) == 3
    for limit in ("0", "201", "-1", "many"):
        answer = await client.get("/v1/price-items", params={"limit": limit}, headers=tenant.headers)
        assert answer.status_code == 400


async def test_an_added_item_is_found(client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant) -> None:
    """201 with the item; its tenant finds it at once, and no other."""
    item = {
        "code": "CHI-01",
        "description": "Chimney sweep",
        "category": "Roofing",
        "unit": "each",
        "unit_price": "180",
    }
    answer = await client.post("/v1/price-items", json=item, headers=tenant.headers)
    assert (answer.status_code, answer.json()["unit_price"]) == (201, "180.00")
    assert await _names(client, tenant, q="chimney") == ["Chimney sweep"]
    assert await _names(client, other_tenant, q="chimney") == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"description": " "}, "description"),
        ({"unit": ""}, "unit"),
        ({"unit_price": "-1"}, "unit_price"),
        ({"unit_price": "1.999"}, "unit_price"),
        ({"unit_price": None}, "unit_price"),
        ({"tenant_id": "x"}, "tenant_id"),
    ],
)
async def test_an_item_that_does_not_fit_is_named(
    client: httpx.AsyncClient, tenant: Tenant, change: dict[str, str], field: str
) -> None:
    """422 with the field; the book stays as it was."""
    item = {"description": "Chimney sweep", "unit": "each", "unit_price": "180.00"} | change
    answer = await client.post("/v1/price-items", json=item, headers=tenant.headers)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert await _names(client, tenant, q="chimney") == []
