"""The price book as a file: in with every error by its line, nothing by halves, and out again the same."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.estimates import price_items
from gateway.estimates.price_file import MOST_ROWS, NewPriceItem, read_file, write_file
from gateway.http.input.text import one_line
from store.estimates.price_book import NewItem
from tests.tenants import Tenant

HEAD = "code,description,category,unit,unit_price\n"


async def send(client: httpx.AsyncClient, tenant: Tenant, text: str | bytes) -> httpx.Response:
    """Import a file."""
    headers = tenant.headers | {"content-type": "text/csv"}
    return await client.post("/v1/price-items/import", content=text, headers=headers)


async def book(client: httpx.AsyncClient, tenant: Tenant) -> str:
    """Export the book."""
    answer = await client.get("/v1/price-items/export", headers=tenant.headers)
    assert answer.headers["content-type"].startswith("text/csv")
    return answer.text


async def test_an_exported_book_comes_back_as_it_was(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """What went out reprices itself: nothing is added, nothing changes, commas and quotes included."""
    await send(
        client, tenant, HEAD + ',"Door, 6"" hinge; =oak",Carpentry,each,310\nX-1,=1+1,,each,5\nX-2,\uff1d1+1,,each,5\n'
    )
    before = await book(client, tenant)
    assert '"Door, 6"" hinge; =oak"' in before
    assert "X-1,'=1+1,,each,5.00" in before, "a spreadsheet must not run it"
    assert "X-2,'\uff1d1+1,,each,5.00" in before, "nor the full-width sign"
    answer = await send(client, tenant, before)
    assert (answer.status_code, answer.json()) == (200, {"added": 0, "updated": before.count("\n") - 1})
    assert await book(client, tenant) == before


_WORDS = st.text(
    alphabet=st.one_of(st.sampled_from("'=+-@\t\r\n\",;"), st.characters(codec="utf-8")), max_size=20
).filter(lambda text: text == one_line(text) == text.strip())


@given(_WORDS, _WORDS.filter(bool), _WORDS, _WORDS.filter(bool), st.decimals("0", "9999", places=2))
def test_whatever_an_item_is_called_it_comes_back(
    code: str, description: str, category: str, unit: str, unit_price: Decimal
) -> None:
    """Apostrophes, signs that a spreadsheet would run, quotes, separators and line breaks included."""
    values = {"code": code, "description": description, "category": category, "unit": unit, "unit_price": unit_price}
    item = NewItem(**NewPriceItem.model_validate(values | {"unit_price": str(unit_price)}).model_dump())
    assert read_file("".join(write_file([asdict(item)])).encode()) == [item]


async def test_a_book_is_written_beside_the_loop(
    client: httpx.AsyncClient, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty thousand rows take longer than the streams of others should wait."""
    threads = []

    def noted(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        threads.append(threading.current_thread())
        return write_file(rows)

    monkeypatch.setattr(price_items, "write_file", noted)
    assert "unit_price" in await book(client, tenant)
    assert threads
    assert threading.current_thread() not in threads


async def test_items_are_known_by_code_or_by_words_and_unit(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """The code's item is renamed and repriced; without a code the words decide; another unit is another item."""
    answer = await send(
        client, tenant,
        HEAD + "ELE-01,GFCI outlet,Electrical,each,150\n,toilet REPLACEMENT,Plumbing,each,400\n"
        ",Toilet replacement,,hours,90\n",
    )  # fmt: skip
    assert answer.json() == {"added": 1, "updated": 2}
    after = await book(client, tenant)
    assert "ELE-01,GFCI outlet,Electrical,each,150.00" in after
    assert "PLU-02,toilet REPLACEMENT,Plumbing,each,400.00" in after


async def test_one_bad_line_imports_nothing_and_every_bad_line_is_named(
    client: httpx.AsyncClient, tenant: Tenant
) -> None:
    """422 with line and field of each; the good lines are not taken in either."""
    before = await book(client, tenant)
    lines = ",Good,,each,1.00\n,,,each,2.00\n,Bad price,,each,1.005\n,Good,,EACH,3\n,No price,,each,\n"
    answer = await send(client, tenant, HEAD + lines)
    problem = answer.json()
    assert answer.status_code == 422
    assert [(error["line"], error["field"]) for error in problem["errors"]] == [
        (3, "description"),
        (4, "unit_price"),
        (5, "description"),
        (6, "unit_price"),
    ]
    assert "Duplicate of line 2" in problem["errors"][2]["message"]
    assert await book(client, tenant) == before


async def test_prices_of_a_file_are_not_guessed(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """A comma as a decimal point, a sign of another currency or words name their line; nothing is taken in."""
    prices = ['"1,5"', "€5", '"1.234,56"', "-5", "(5)", "5%", "1e5", "NaN", "$", "call us", "1.500"]
    lines = "".join(f",Item {at},,each,{price}\n" for at, price in enumerate(prices))
    errors = (await send(client, tenant, HEAD + lines)).json()["errors"]
    assert [(error["line"], error["field"]) for error in errors] == [(at, "unit_price") for at in range(2, 13)]
    assert all(error["message"].startswith("Enter ") for error in errors)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "must name the columns"),
        (b"name,price\nDoor,3\n", "missing: description, unit, unit_price"),
        (HEAD.encode(), "holds no items"),
        ("description,unit,unit_price\nTür,each,3".encode("latin-1"), "not UTF-8"),
        (HEAD.encode() + b',"' + b"a" * 200_000 + b'",,each,1\n', "cannot be read as CSV"),
        (HEAD.encode() + b",\n" * (MOST_ROWS + 1), "at most 50,000 items"),
    ],
)
async def test_what_is_no_price_file_is_refused_in_words(
    client: httpx.AsyncClient, tenant: Tenant, content: bytes, said: str
) -> None:
    """400 with what to do."""
    answer = await send(client, tenant, content)
    assert (answer.status_code, said in answer.json()["detail"]) == (400, True)


async def test_a_spreadsheets_file_is_read_as_it_comes(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """A byte order mark, semicolons, money signs and columns in another order are no reason to refuse it."""
    text = "\ufeffUnit price;Unit;Description;Supplier\n$1,250.50;each;Bay window;Acme\n"
    assert (await send(client, tenant, text)).json() == {"added": 1, "updated": 0}
    assert ",Bay window,,each,1250.50" in await book(client, tenant)


async def test_another_tenants_book_is_neither_read_nor_written(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant
) -> None:
    """The same code in two books is two items."""
    await send(client, tenant, HEAD + "ELE-01,Ours,,each,1\n")
    assert "Ours" not in await book(client, other_tenant)


async def test_the_search_keeps_to_a_unit(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """What is sold by the linear foot is found for feet, and not by the piece."""

    async def found(**query: str) -> list[str]:
        answer = await client.get("/v1/price-items", params=query, headers=tenant.headers)
        return [item["description"] for item in answer.json()["price_items"]]

    assert await found(q="gutter", unit="feet") == ["Seamless aluminum gutter"]
    assert await found(q="gutter", unit="each") == []
    assert await found(q="gutter") == ["Seamless aluminum gutter"]
    assert await found(q="roo-0") == ["Asphalt shingle roofing", "Seamless aluminum gutter"]
