"""Whatever is edited, in any order: lines, markup, discount, tax and total agree, here and in the database."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.estimates.line_edits import EditedLine, LineEdit, apply_edit, next_terms
from store.estimates import estimates
from store.estimates.estimates import NewEstimate, NewLine
from store.pool import use_json
from tests.stack import Services
from tests.tenants import make_tenant

OPTIONS = ["Good", "Better", "Best"]
FIRST = NewLine("Replace outlets", Decimal("2.5"), "each", Decimal("10.10"), needs_review=True)

_cents = st.decimals(0, 20_000, places=2)
_rates = st.decimals(0, "0.99999", places=5)
_discounts = st.one_of(_rates.map(lambda rate: {"rate": rate}), _cents.map(lambda amount: {"amount": amount}))


@st.composite
def edits(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an edit: lines that go on, from anywhere, and new ones, in any order, with or without a price."""
    options = draw(st.sampled_from([[], OPTIONS[:2], OPTIONS]))
    line = st.fixed_dictionaries(
        {
            "goes_on": st.one_of(st.none(), st.integers(0, 5)),
            "description": st.sampled_from(["Paint wall", "Replace outlets", "Haul debris"]),
            "quantity": st.decimals("0.001", 9_999, places=3),
            "unit": st.sampled_from(["each", "sq ft"]),
            "unit_price": st.none() | _cents,
            "option": st.sampled_from(["", *options]),
        }
    )
    return {
        "lines": draw(st.lists(line, min_size=1, max_size=6)),
        "options": options,
        "chosen_option": draw(st.sampled_from(options)) if options else None,
        "tax_rate": draw(st.none() | _rates),
        "markup_rate": draw(st.none() | _rates),
        "discount": draw(st.none() | _discounts),
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(edits(), min_size=1, max_size=4))
def test_sums_agree_after_any_sequence_of_edits(services: Services, sequence: list[dict[str, Any]]) -> None:
    """Each version is reckoned here once more, by fractions; the constraint trigger looks at each as well."""
    for saved in asyncio.run(_save_each(services.admin_url, sequence)):
        _check(saved)


async def _save_each(url: str, sequence: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Save a version an edit, have the deferred constraints checked at once, and leave nothing behind."""
    conn = await asyncpg.connect(url)
    try:
        await use_json(conn)
        transaction = conn.transaction()
        await transaction.start()
        await conn.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        first = await _first(conn)
        saved = [await estimates.save_version(conn, first)]
        for edit in sequence:
            saved.append(await estimates.save_version(conn, _next(first, saved[-1], edit)))
            await conn.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        await transaction.rollback()
        return saved
    finally:
        await conn.close()


async def _first(conn: "asyncpg.Connection[asyncpg.Record]") -> NewEstimate:
    tenant = await make_tenant(conn)
    visit = await conn.fetchval("INSERT INTO site_visits (tenant_id) VALUES ($1) RETURNING id", tenant.id)
    return NewEstimate(tenant.id, visit, "local", "rules", "USD", Decimal("0.0825"), [FIRST])


def _next(first: NewEstimate, before: dict[str, Any], drawn: Mapping[str, Any]) -> NewEstimate:
    """Apply an edit as the route does."""
    left = [line["id"] for line in before["lines"]]
    lines = []
    for line in drawn["lines"]:
        place = line["goes_on"]
        line_id = left.pop(place) if place is not None and place < len(left) else None
        lines.append(EditedLine(id=line_id, **{name: line[name] for name in line if name != "goes_on"}))
    edit = LineEdit(**{**drawn, "lines": lines})
    terms = next_terms(before, edit)
    return replace(
        first,
        tax_rate=terms.tax_rate,
        lines=apply_edit(before["lines"], edit),
        adjustments=terms.adjustments,
        options=terms.options,
        chosen_option=terms.chosen_option,
    )


def _check(saved: Mapping[str, Any]) -> None:
    amounts = [_amount(line) for line in saved["lines"]]
    assert [_exact(line["amount"]) for line in saved["lines"]] == amounts
    counted = [
        amount
        for line, amount in zip(saved["lines"], amounts, strict=True)
        if line["option"] in {"", saved["chosen_option"]}
    ]
    subtotal = sum((amount for amount in counted if amount is not None), start=Fraction(0))
    markup = _cents_up(subtotal * Fraction(saved["markup_rate"]))
    discount = _discount(saved, subtotal + markup)
    left = subtotal + markup - discount
    tax = _cents_up(left * Fraction(saved["tax_rate"]))
    names = ("subtotal", "markup", "discount", "tax", "total")
    assert [_exact(saved[name]) for name in names] == [subtotal, markup, discount, tax, left + tax]
    assert saved["unpriced_count"] == counted.count(None)
    assert left >= 0


def _discount(saved: Mapping[str, Any], of: Fraction) -> Fraction:
    if saved["discount_rate"] is not None:
        return _cents_up(of * Fraction(saved["discount_rate"]))
    return min(Fraction(saved["discount_fixed"]), of)


def _amount(line: Mapping[str, Any]) -> Fraction | None:
    if line["unit_price"] is None:
        return None
    return _cents_up(Fraction(line["quantity"]) * Fraction(line["unit_price"]))


def _exact(value: Decimal | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def _cents_up(value: Fraction) -> Fraction:
    return Fraction((value * 100 + Fraction(1, 2)).__floor__(), 100)
