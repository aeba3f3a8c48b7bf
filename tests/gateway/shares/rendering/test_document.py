"""The document a customer reads: what it says, in which words, and what it keeps to itself."""

from decimal import Decimal
from typing import Any

import httpx
import pytest

from gateway.pages.shell import modules_of
from store.documents import document as document_module
from store.documents.document import Document
from tests.gateway.shares.documents import SECRET_REASON, Visit, customer_of, make_share, offer_options, open_share
from tests.tenants import Tenant

D = Decimal


def _source(**changes: Any) -> dict[str, Any]:
    line = {"description": "Gutter", "category": "roofing", "quantity": "24.500", "unit": "lf", "unit_price": "11.25",
            "amount": "275.63", "assumptions": [], "photos": [], "said": [], "option": ""}  # fmt: skip
    estimate = {"id": "e", "version": 2, "status": "draft", "summary": "", "coverage": [], "currency": "USD",
                "subtotal": "275.63", "tax_rate": "0.08250", "tax": "22.74", "total": "298.37", "line_count": 1,
                "unpriced_count": 0, "content_hash": "0" * 64, "created_at": "2026-11-01T23:30:00+00:00",
                "is_newest": True, "markup": "0.00", "discount": "0.00", "chosen_option": "",
                "options": []}  # fmt: skip
    return {
        "share": {"id": "s", "recipient": "", "expires_at": "2026-11-08T23:30:00+00:00"},
        "business": {"name": "Tenant 7"},
        "visit": {"id": "0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90", "title": "", "customer_name": "", "address": "",
                  "visited_at": "2026-10-31T12:00:00+00:00"},
        "estimate": estimate | changes.pop("estimate", {}),
        "lines": [line],
        "photos": [],
        "decision": None,
    } | changes  # fmt: skip


def test_lines_stand_by_trade_in_the_order_trades_appear() -> None:
    """Groups keep the order of the lines; what has no trade is General; a group without prices has no sum."""
    base = _source()["lines"][0]
    lines = [base | {"category": "roofing"}, base | {"category": "general", "unit_price": None, "amount": None},
             base | {"category": "roofing", "amount": "0.37"}]  # fmt: skip
    groups = Document(_source(lines=lines)).groups
    assert [(group.name, len(group.lines), group.subtotal) for group in groups] == [
        ("Roofing", 2, "$276.00"),
        ("General", 1, ""),
    ]
    assert (groups[1].lines[0].unit_price, groups[1].lines[0].amount, groups[1].lines[0].is_open) == ("", "", True)


def test_the_offer_is_the_chosen_option_and_the_others_stand_beside_it() -> None:
    """What adds up to the total is the scope of work; markup and discount are named; other options say their sum."""
    base = _source()["lines"][0]
    lines = [
        base,
        base | {"description": "Copper gutter", "amount": "624.37", "option": "Best"},
        base | {"option": "Good"},
    ]
    options = [{"name": "Good", "subtotal": "551.26"}, {"name": "Best", "subtotal": "900.00"}]
    estimate = {"options": options, "chosen_option": "Good", "markup": "55.00", "discount": "10.00"}
    document = Document(_source(lines=lines, estimate=estimate, display={"markup": "line"}))
    assert [len(group.lines) for group in document.groups] == [2]
    (best,) = document.alternatives
    assert (best.name, best.subtotal, best.lines[0].description) == ("Best", "$900.00", "Copper gutter")
    assert document.sums[1:3] == (("Overhead and profit", "$55.00"), ("Discount", "\N{MINUS SIGN}$10.00"))


def test_figures_read_as_on_paper() -> None:
    """Money with symbol and thousands, quantities without trailing zeros, the tax rate as a percentage."""
    document = Document(_source(estimate={"total": "1234567.80"}))
    assert (document.total, document.tax_label, document.groups[0].lines[0].quantity) == (
        "$1,234,567.80",
        "Tax (8.25%)",
        "24.5 lf",
    )
    assert document_module.money(D("-0.5"), "CHF") == "CHF\N{NO-BREAK SPACE}-0.50"


@pytest.mark.parametrize(
    ("unit", "quantity", "said"),
    [("hour", "1", "hour"), ("hours", "1", "hour"), ("hour", "2.5", "hours"), ("square", "2", "squares"),
     ("lf", "3", "lf"), ("each", "2", "each")],
)  # fmt: skip
def test_units_agree_with_their_quantity(unit: str, quantity: str, said: str) -> None:
    """One hour, two hours; abbreviations stay as they are."""
    assert document_module.unit_name(unit, D(quantity)) == said


def test_times_are_the_contractors() -> None:
    """Dates are those of the contractor's time zone, which is named where the hour matters; UTC when none is set."""
    assert Document(_source()).dated == "1 November 2026"
    auckland = Document(_source(business={"name": "T", "timezone": "Pacific/Auckland"}))
    assert (auckland.dated, auckland.valid_until) == ("2 November 2026", "9 November 2026, 12:30 NZDT")
    for unknown in ("Mars/Olympus", "America", "../etc/passwd", "a" * 300, ""):
        assert Document(_source(business={"name": "T", "timezone": unknown})).valid_until.endswith("23:30 UTC")


def test_the_number_stays_through_versions() -> None:
    """It is the visit's: its year and the random end of its id."""
    assert Document(_source()).number == "2026-5B7E90"


def test_photos_are_numbered_as_the_lines_cite_them() -> None:
    """The first cited photo is photo 1, a photo cited twice keeps its number, unknown ids are left out."""
    base = _source()["lines"][0]
    source = _source(
        lines=[base | {"photos": ["b", "recording"]}, base | {"photos": ["a", "b"]}],
        photos=[{"id": "a", "label": ""}, {"id": "b", "label": "Porch"}],
    )
    document = Document(source)
    assert [photo.alt for photo in document.photos] == ["Photo 1: Porch", "Photo 2 from the site visit"]
    assert [photo.number for photo in document.groups[0].lines[1].photos] == [1, 2]


async def test_what_is_the_contractors_stays_with_the_contractor(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """Neither review reasons, confidence, matches, typed notes nor ids of the inside are in the page or its source."""
    share = await make_share(client, tenant, visit)
    reader = customer_of(client, share)
    await reader.open()
    page = (await reader.look()).text
    hashes = await admin.fetchrow(
        "SELECT token_hash, session_hash FROM share_tokens JOIN share_views USING (share_id) WHERE share_id = $1",
        share["id"],
    )
    source = str(await admin.fetchval("SELECT scopekit.share_document($1, $2)", *hashes))
    for text in (page, source):
        for inner in (SECRET_REASON, "0.613", "0.731", "Seamless aluminum", "ask for a discount", "dog bites",
                      "rules-1", "single storey",
                      "Photos were not analysed", "has to go", "Gutter and window seat.",
                      str(tenant.id), str(visit.uncited)):  # fmt: skip
            assert inner not in text


async def test_a_customer_reads_what_the_total_is_made_of(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Markup, discount and the option that is offered add up on the page; another option stands beside it."""
    reader = await open_share(client, tenant, await offer_options(client, tenant, visit), display={"markup": "line"})
    page = " ".join((await reader.look()).text.split())
    for shown in ("$200.00", "Overhead and profit</dt><dd>$20.00", "Discount</dt><dd>\N{MINUS SIGN}$20.00", "$220.00",
                  "Scope of work, option “Good”", "Subtotal $400.00", "with the option “Good”"):  # fmt: skip
        assert shown in page, shown
    assert page.count("Copper gutter") == 1
    beside = page.split("Other options")[1]
    assert f"/media/{visit.cited}?size=thumb" in beside


async def test_words_of_others_are_text_and_not_markup(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """A customer's name is shown with its angle brackets as characters."""
    await client.patch(f"/v1/visits/{visit.id}", json={"customer_name": "<b>Maria</b>"}, headers=tenant.headers)
    page = (await (await open_share(client, tenant, visit)).look()).text
    assert "&lt;b&gt;Maria&lt;/b&gt;" in page
    assert "<b>Maria" not in page


async def test_the_page_is_light(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """Page, style and script together stay under 100 KB without photos."""
    reader = customer_of(client, await make_share(client, tenant, visit))
    await reader.open()
    size = len((await reader.look()).content)
    size += len((await reader.look("/colours.css")).content)
    for file in ("shared/tokens.css", "share/share.css", *modules_of("share/share.js"), "mark.svg"):
        answer = await client.get(f"/static/{file}")
        assert answer.status_code == 200
        size += len(answer.content)
    assert size < 100_000
