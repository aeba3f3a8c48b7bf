"""What the customer sees is the contractor's choice: prices, markup, quantities, photos; the total stays."""

import itertools
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.documents.display import fold, unit_price
from store.documents.document import Document
from store.estimates import money
from store.objects.objects import ObjectStore
from tests.gateway.shares.documents import (
    Visit,
    customer_of,
    make_share,
    offer_options,
    open_share,
    store_photos,
)
from tests.tenants import Tenant

CENTS = st.integers(0, 10**9).map(lambda cents: Decimal(cents) / 100)
QUANTITIES = st.integers(1, 10**9).map(lambda thousandths: Decimal(thousandths) / 1000)
RATES = st.integers(0, 100_000).map(lambda rate: Decimal(rate) / 100_000)
LINES = st.lists(st.tuples(QUANTITIES, st.none() | CENTS), min_size=1, max_size=30)
CHOICES = [
    {"quantities": quantities, "prices": prices, "markup": markup}
    for quantities, prices, markup in itertools.product((True, False), ("unit", "line", "total"), ("line", "folded"))
]


@given(LINES, RATES)
def test_folded_prices_add_up_to_the_cent(lines: list[tuple[Decimal, Decimal | None]], rate: Decimal) -> None:
    """Amounts add up to subtotal and markup; each is its unit price times its quantity; unpriced lines stay so."""
    amounts = [money.line_amount(quantity, price) for quantity, price in lines]
    sums = money.totals(amounts, Decimal(0), money.Adjustments(markup_rate=rate))
    folded = fold(amounts, sums.markup)
    assert sum((amount for amount in folded if amount is not None), start=Decimal(0)) == sums.subtotal + sums.markup
    assert [amount is None for amount in folded] == [amount is None for amount in amounts]
    for (quantity, _), before, amount in zip(lines, amounts, folded, strict=True):
        if amount is not None and before is not None:
            assert abs(amount - before * (1 + rate)) <= Decimal("0.02")
            assert money.to_cents(unit_price(amount, quantity) * quantity) == amount


@pytest.mark.parametrize("choice", CHOICES)
async def test_every_choice_shows_what_it_says_and_the_same_total(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, choice: dict[str, Any]
) -> None:
    """No price that is not shown is in the page; the total is in all."""
    offered = await offer_options(client, tenant, visit)
    page = (await (await open_share(client, tenant, offered, display=choice)).look()).text
    prices, folded = choice["prices"], choice["markup"] == "folded"
    assert "$220.00" in page
    assert (">Unit price<" in page) == (prices == "unit" and choice["quantities"])
    assert (">Qty<" in page) == ("10 lf" in page) == choice["quantities"]
    assert (">Amount<" in page) == (prices != "total")
    assert ("$110.00" in page) == (prices != "total" and folded)
    assert ("$100.00" in page) == (prices != "total" and not folded)
    assert ("Overhead and profit" in page) == (not folded)


async def test_photos_are_the_contractors_choice(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, objects: ObjectStore
) -> None:
    """A hidden photo is neither on the page nor at its address; shown again, both have it under its number."""
    await store_photos(objects, tenant, visit)
    share = await make_share(client, tenant, visit, display={"hidden_photos": [str(visit.cited)]})
    reader = customer_of(client, share)
    await reader.open()
    assert str(visit.cited) not in (await reader.look()).text
    assert (await reader.look(f"/media/{visit.cited}")).status_code == 404
    change: dict[str, Any] = {"display": {"hidden_photos": []}}
    answer = await client.patch(f"/v1/shares/{share['id']}", json=change, headers=tenant.headers)
    assert (answer.status_code, answer.json()["display"]["hidden_photos"]) == (200, [])
    page = (await reader.look()).text
    assert f"/media/{visit.cited}?size=thumb" in page
    assert 'class="photo-number" aria-hidden="true">1<' in page
    assert (await reader.look(f"/media/{visit.cited}")).status_code == 302


async def test_a_new_share_shows_what_its_company_chose(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """What the share itself says comes first; later changes of the company's choice leave made shares alone."""
    choice = {"display": {"prices": "total", "photos": False}}
    answer = await client.patch("/v1/branding", json=choice, headers=tenant.headers)
    assert answer.json()["display"] == {"quantities": True, "prices": "total", "markup": "folded", "photos": False}
    share = await make_share(client, tenant, visit, display={"photos": True})
    assert (share["display"]["prices"], share["display"]["photos"]) == ("total", True)
    await client.patch("/v1/branding", json={"display": {"prices": "line"}}, headers=tenant.headers)
    read = await client.get(f"/v1/shares/{share['id']}", headers=tenant.headers)
    assert read.json()["display"]["prices"] == "total"


async def test_a_preview_is_the_customers_page_without_an_answer(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, visit: Visit
) -> None:
    """It takes the choice from its address, has no form, and is not there for another company."""
    path = f"/v1/estimates/{visit.estimate['id']}/preview?prices=total&photos=false"
    page = await client.get(path, headers=tenant.headers)
    assert page.status_code == 200
    assert "Scope of work" in page.text
    assert ">Amount<" not in page.text
    assert '<form method="post"' not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert (await client.get(path, headers=other_tenant.headers)).status_code == 404
    refused = await client.get(path.replace("total", "half"), headers=tenant.headers)
    assert (refused.status_code, refused.json()["field"]) == (400, "prices")


def test_a_document_without_choices_folds_the_markup() -> None:
    """The standard choice says nothing of overhead and profit."""
    assert Document({"display": {}}).display.markup == "folded"
