"""Display: the parts of an estimate that its customer sees, by choice; and prices with the markup folded in. Pure.

Every choice keeps the total. With the markup folded in, the lines' amounts add up to subtotal and markup to the cent.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, localcontext
from typing import TYPE_CHECKING, Any, Literal

from store.estimates.money import CENT, to_cents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Prices = Literal["unit", "line", "total"]
Markup = Literal["line", "folded"]

_MOST_DECIMALS = 15
_DIGITS = 50


@dataclass(frozen=True)
class Display:
    """`prices`: each unit's and line's, each line's, or the total alone; `hidden_photos` are ids of cited photos."""

    quantities: bool = True
    prices: Prices = "unit"
    markup: Markup = "folded"
    photos: bool = True
    hidden_photos: tuple[str, ...] = ()

    @classmethod
    def of(cls, *stored: Mapping[str, Any]) -> Display:
        """Lay stored choices over the standard ones, the last over the first."""
        chosen = {key: value for choices in stored for key, value in choices.items()}
        chosen["hidden_photos"] = tuple(chosen.get("hidden_photos", ()))
        return cls(**chosen)

    def as_json(self) -> dict[str, Any]:
        """Return all choices as JSON values."""
        return asdict(self) | {"hidden_photos": list(self.hidden_photos)}

    @property
    def unit_prices(self) -> bool:
        """Whether each line shows the price of one unit, which needs its quantity beside it."""
        return self.prices == "unit" and self.quantities

    @property
    def line_prices(self) -> bool:
        """Whether each line shows its amount."""
        return self.prices != "total"


def fold(amounts: Sequence[Decimal | None], markup: Decimal) -> list[Decimal | None]:
    """Spread a markup over the amounts in proportion, to the cent; an unpriced line stays so.

    The cents that rounding down leaves go to the lines that lost most by it, the first of equals first.
    """
    base = sum((amount for amount in amounts if amount is not None), start=Decimal(0))
    if not base or not markup:
        return list(amounts)
    with localcontext(prec=_DIGITS):
        exact = [None if amount is None else markup * amount / base for amount in amounts]
        parts = [None if part is None else part.quantize(CENT, rounding=ROUND_DOWN) for part in exact]
        left = int((markup - sum((part for part in parts if part is not None), start=Decimal(0))) / CENT)
        lost = [(index, part - (parts[index] or 0)) for index, part in enumerate(exact) if part is not None]
        favoured = {index for index, _ in sorted(lost, key=lambda loss: -loss[1])[:left]}
        return [
            None if amount is None or part is None else amount + part + (CENT if index in favoured else 0)
            for index, (amount, part) in enumerate(zip(amounts, parts, strict=True))
        ]


def unit_price(amount: Decimal, quantity: Decimal) -> Decimal:
    """Return the shortest unit price, two decimals or more, whose product with the quantity is the amount."""
    with localcontext(prec=_DIGITS):
        exact = amount / quantity
        for decimals in range(2, _MOST_DECIMALS):
            price = exact.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
            if to_cents(price * quantity) == amount:
                return price
    return exact
