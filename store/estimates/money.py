"""Money, pure: the amount of a line and the totals of an estimate.

Decimal throughout, rounded half up to cents per line, exactly as the CHECKs of `estimates` and `estimate_lines`
compute it again. An unpriced line has no amount: it is counted, never taken for 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CENT = Decimal("0.01")
# The largest amount, tax or total that numeric(14, 2) holds.
MOST = Decimal("999999999999.99")
# Wide enough for numeric(12, 3) times numeric(12, 2), whatever context the caller's thread has.
_EXACT = Context(prec=50, rounding=ROUND_HALF_UP)


@dataclass(frozen=True)
class Adjustments:
    """The markup on the lines before tax, then the discount: a share or a fixed sum."""

    markup_rate: Decimal = Decimal(0)
    discount_rate: Decimal | None = None
    discount_fixed: Decimal = Decimal(0)


NONE = Adjustments()


@dataclass(frozen=True)
class Sums:
    """An estimate's totals; `unpriced_count` says how many lines are missing from them."""

    subtotal: Decimal
    tax_rate: Decimal
    tax: Decimal
    total: Decimal
    unpriced_count: int
    markup: Decimal = Decimal("0.00")
    discount: Decimal = Decimal("0.00")


def to_cents(value: Decimal) -> Decimal:
    """Round half up to two decimals."""
    return value.quantize(CENT, rounding=ROUND_HALF_UP, context=_EXACT)


def line_amount(quantity: Decimal, unit_price: Decimal | None) -> Decimal | None:
    """Quantity times price in cents; None for a line without a price."""
    return None if unit_price is None else to_cents(_EXACT.multiply(quantity, unit_price))


def totals(amounts: Iterable[Decimal | None], tax_rate: Decimal, adjustments: Adjustments = NONE) -> Sums:
    """Add up the lines that have an amount; rates are shares, 0.0825 for 8.25 %. Each step is rounded once."""
    every = tuple(amounts)
    priced = [amount for amount in every if amount is not None]
    with localcontext(_EXACT):
        subtotal = to_cents(sum(priced, start=Decimal(0)))
        markup = to_cents(subtotal * adjustments.markup_rate)
        discount = _discount(subtotal + markup, adjustments)
        left = subtotal + markup - discount
        tax = to_cents(left * tax_rate)
        return Sums(subtotal, tax_rate, tax, left + tax, len(every) - len(priced), markup, discount)


def _discount(of: Decimal, adjustments: Adjustments) -> Decimal:
    """Never more than the sum it is taken from."""
    if adjustments.discount_rate is not None:
        return to_cents(of * adjustments.discount_rate)
    return to_cents(min(adjustments.discount_fixed, of))
