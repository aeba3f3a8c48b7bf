"""What lines add up to, whatever they are."""

from decimal import ROUND_HALF_UP, Decimal

from hypothesis import given
from hypothesis import strategies as st

from jobs.kinds.estimate.model import PricedLine
from jobs.kinds.estimate.steps.totals import add_up
from store.estimates.money import line_amount

_QUANTITIES = st.decimals(min_value="0.001", max_value=99_999, places=3, allow_nan=False)
_PRICES = st.none() | st.decimals(min_value=0, max_value=99_999, places=2, allow_nan=False)
_RATES = st.decimals(min_value=0, max_value="0.99999", places=5, allow_nan=False)
_CENT = Decimal("0.01")


def line(quantity: Decimal, price: Decimal | None) -> PricedLine:
    """Make a line that costs what it should."""
    amount = line_amount(quantity, price)
    return PricedLine(description="x", quantity=quantity, unit="each", unit_price=price, amount=amount)


@given(st.lists(st.builds(line, _QUANTITIES, _PRICES), max_size=30), _RATES)
def test_totals_agree_with_their_lines(lines: list[PricedLine], rate: Decimal) -> None:
    """Subtotal is the sum of rounded lines, tax is rounded once, and every unpriced line is counted."""
    totals = add_up(lines, rate)
    amounts = [
        (one.quantity * one.unit_price).quantize(_CENT, ROUND_HALF_UP) for one in lines if one.unit_price is not None
    ]
    assert totals.subtotal == sum(amounts, Decimal(0))
    assert totals.tax == (totals.subtotal * rate).quantize(_CENT, ROUND_HALF_UP)
    assert totals.total == totals.subtotal + totals.tax
    assert totals.unpriced_count == len(lines) - len(amounts)


def test_an_unpriced_line_costs_nothing_known() -> None:
    """No price is no amount; it never becomes 0."""
    totals = add_up([line(Decimal(2), None), line(Decimal(2), Decimal(0))], Decimal("0.1"))
    assert (totals.total, totals.unpriced_count) == (Decimal("0.00"), 1)
