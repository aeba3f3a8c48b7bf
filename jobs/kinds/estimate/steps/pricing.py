"""Meets draft lines with the tenant's price book: a clear match is priced and explained, anything else is unpriced.

A price that was said on site comes before the book's. A wrong price is worse than none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobs.kinds.estimate.book.book import Book, Item, Sold, choose
from jobs.kinds.estimate.book.terms import terms_of
from jobs.kinds.estimate.evidence import NO_EVIDENCE
from jobs.kinds.estimate.model import Choice, Match, PricedLine
from store.estimates import price_items
from store.estimates.money import line_amount
from store.estimates.units import EACH, canonical, compatible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal
    from uuid import UUID

    from jobs.kinds.estimate.book.book import AsSold, Fit
    from jobs.kinds.estimate.book.terms import Terms
    from jobs.kinds.estimate.model import DraftLine
    from store.pool import Connection

NO_MATCH = "no price: nothing in the price book clearly fits"
SAID = "said"
OUTSIDE = "it has no price and is outside the total until somebody confirms it"
_OFFERED = 3
_OFFERED_FROM = 0.05


async def book_of(conn: Connection, tenant_id: UUID) -> tuple[Book, dict[UUID, Decimal]]:
    """Read a tenant's price book: the part engines may see, and the prices."""
    rows = await price_items.active(conn, tenant_id)
    # In a thread: fifty thousand items take seconds to read, in which leases must be renewed.
    items = await asyncio.to_thread(
        lambda: [Item(row["id"], row["description"], row["unit"], row["category"]) for row in rows]
    )
    return Book(items), {row["id"]: row["unit_price"] for row in rows}


def price_by(book: Book, prices: Mapping[UUID, Decimal], lines: Sequence[DraftLine]) -> list[PricedLine]:
    """Price lines by a book that was read before."""
    trades = trades_of(book, lines)
    return [_priced(prices, line, book.weigh(*sought(line), trades)) for line in lines]


def trades_of(book: Book, lines: Sequence[DraftLine]) -> frozenset[str]:
    """Return the categories that the lines are clearly about."""
    return book.trades([book.weigh(*sought(line)) for line in lines])


def sought(line: DraftLine) -> tuple[Terms, AsSold]:
    """Return a line in the terms that the book is searched for, and as what it may be sold by a unit."""
    terms = terms_of(line.named or line.description)
    # A model writes "Install 3 outlets": the 3 is the quantity, not a size.
    sizes = terms.sizes - {(line.quantity, "")}
    units = set(compatible(line.unit))

    def as_sold(unit: str) -> Sold | None:
        fits = unit.lower() in units or canonical(unit) in units
        return Sold(sizes, measured=canonical(unit) != EACH) if fits else None

    return terms, as_sold


def _priced(prices: Mapping[UUID, Decimal], line: DraftLine, ranked: Sequence[Fit]) -> PricedLine:
    if NO_EVIDENCE in line.review_reasons:
        return PricedLine(**dict(line.flagged(OUTSIDE)))
    if line.price_said is not None:
        match = Match(name=SAID, score=1.0)
        return PricedLine(**dict(line), unit_price=line.price_said, amount=_amount(line, line.price_said), match=match)
    best = choose(ranked)
    if best is None:
        return _unpriced(prices, line, ranked)
    if not best.sure:
        line = line.flagged(f"priced as “{best.item.description}”")
    second = next((fit for fit in ranked if fit.item is not best.item), None)
    match = Match(
        name=best.item.description,
        score=round(best.probability, 3),
        runner_up=second.item.description if second else None,
        runner_up_score=round(second.probability, 3) if second else None,
    )
    # The contractor's own book knows the trade better than a list of words.
    trade = {"category": best.item.category.lower()} if best.item.category else {}
    unit_price = prices[best.item.id]
    return PricedLine(
        **{**dict(line), **trade},
        price_item_id=best.item.id,
        unit_price=unit_price,
        amount=_amount(line, unit_price),
        match=match,
    )


def _amount(line: DraftLine, unit_price: Decimal) -> Decimal | None:
    return line_amount(line.quantity, unit_price)


def _unpriced(prices: Mapping[UUID, Decimal], line: DraftLine, ranked: Sequence[Fit]) -> PricedLine:
    """Leave the price open, with the items to pick from where some nearly fit."""
    near = [fit for fit in ranked if fit.probability >= _OFFERED_FROM][:_OFFERED]
    if not near:
        return PricedLine(**dict(line.flagged(NO_MATCH)))
    names = " and ".join(f"“{fit.item.description}”" for fit in near[:2])
    reason = f"no price: {names} fit alike" if len(near) > 1 else f"{NO_MATCH}; the nearest is {names}"
    choices = tuple(
        Choice(price_item_id=fit.item.id, name=fit.item.description, unit=fit.item.unit, unit_price=prices[fit.item.id])
        for fit in near
    )
    match = Match(name="", score=round(near[0].probability, 3), choices=choices)
    return PricedLine(**dict(line.flagged(reason)), match=match)
