"""The arithmetic of an estimate, away from the database that checks it again."""

from decimal import Decimal, localcontext

import pytest

from store.estimates import money

D = Decimal


@pytest.mark.parametrize(
    ("quantity", "price", "amount"),
    [
        ("1", "10.00", "10.00"),
        ("0.5", "0.01", "0.01"),
        ("2.5", "0.33", "0.83"),
        ("3", "0.335", "1.01"),
        ("1.005", "1.00", "1.01"),
        ("0.333", "1.00", "0.33"),
        ("999999999.999", "9999999999.99", "9999999999980000000.00"),
    ],
)
def test_a_half_cent_is_rounded_up(quantity: str, price: str, amount: str) -> None:
    """Half a cent goes up, and even the largest figures the columns hold stay exact."""
    assert money.line_amount(D(quantity), D(price)) == D(amount)


def test_an_unpriced_line_has_no_amount() -> None:
    """No price is None, not zero."""
    assert money.line_amount(D(3), None) is None


def test_totals_count_what_is_missing() -> None:
    """Unpriced lines are left out of the sum and counted; tax is rounded once, on the subtotal."""
    sums = money.totals([D("10.00"), None, D("0.10"), None], D("0.08250"))
    assert (sums.subtotal, sums.tax, sums.total, sums.unpriced_count) == (D("10.10"), D("0.83"), D("10.93"), 2)


def test_nothing_priced_adds_up_to_zero_and_says_so() -> None:
    """An estimate of unpriced lines alone has a total of 0.00 and counts every line as missing."""
    sums = money.totals([None, None], D("0.0825"))
    assert (str(sums.subtotal), str(sums.total), sums.unpriced_count) == ("0.00", "0.00", 2)


def test_a_narrow_context_of_the_caller_changes_nothing() -> None:
    """The result does not depend on the precision somebody set on this thread."""
    with localcontext() as context:
        context.prec = 4
        assert money.line_amount(D("1234.567"), D("89.99")) == D("111098.68")
        assert money.totals([D("11111.11"), D("22222.22")], D("0.1")).total == D("36666.66")


@pytest.mark.parametrize(
    ("adjustments", "figures"),
    [
        (money.Adjustments(markup_rate=D("0.1")), ("10.00", "0.00", "9.08", "119.08")),
        (money.Adjustments(discount_rate=D("0.05")), ("0.00", "5.00", "7.84", "102.84")),
        (money.Adjustments(D("0.1"), D("0.05")), ("10.00", "5.50", "8.62", "113.12")),
        (money.Adjustments(discount_fixed=D("0.10")), ("0.00", "0.10", "8.24", "108.14")),
        (money.Adjustments(discount_fixed=D(500)), ("0.00", "100.00", "0.00", "0.00")),
    ],
)
def test_markup_comes_before_the_discount_and_both_before_tax(
    adjustments: money.Adjustments, figures: tuple[str, str, str, str]
) -> None:
    """A fixed discount is never more than the sum it is taken from."""
    sums = money.totals([D("60.00"), D("40.00")], D("0.0825"), adjustments)
    assert (str(sums.markup), str(sums.discount), str(sums.tax), str(sums.total)) == figures
