"""The totals of the lines. The arithmetic itself is `store.estimates.money`'s, the same that the database checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.kinds.estimate.model import Totals
from store.estimates import money

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from jobs.kinds.estimate.model import PricedLine


def add_up(lines: Iterable[PricedLine], tax_rate: Decimal) -> Totals:
    """Add up the priced lines; `tax_rate` is a share, 0.0825 for 8.25 %. Unpriced lines are counted, never 0."""
    sums = money.totals((line.amount for line in lines), tax_rate)
    return Totals(
        subtotal=sums.subtotal,
        tax_rate=sums.tax_rate,
        tax=sums.tax,
        total=sums.total,
        unpriced_count=sums.unpriced_count,
    )
