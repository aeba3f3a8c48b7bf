"""Numbers, units and amounts, as they are said and written."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.kinds.estimate.rules.amounts.amount_parser import read_amounts
from jobs.kinds.estimate.rules.amounts.amounts import chosen
from jobs.kinds.estimate.rules.amounts.numbers import read_number
from jobs.kinds.estimate.rules.tokens import tokenise
from store.estimates.units import canonical, compatible

_UP_TO_19 = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen"""
_FROM_20 = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL, _TENS = _UP_TO_19.split(), _FROM_20.split()


def spell(number: int, *, joined: str = " ", hundred_and: bool = False) -> str:
    """Write a number below a million in words."""
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (joined + _SMALL[ones] if ones else "")
    scale, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    many, rest = divmod(number, scale)
    link = " and " if hundred_and and name == "hundred" else " "
    tail = link + spell(rest, joined=joined, hundred_and=hundred_and) if rest else ""
    return f"{spell(many, joined=joined, hundred_and=hundred_and)} {name}{tail}"


@given(st.integers(0, 999_999), st.sampled_from([" ", "-"]), st.booleans())
def test_every_number_in_words_is_read_back(number: int, joined: str, hundred_and: bool) -> None:
    """Any number below a million is read from its words, hyphenated or not, with "and" or without."""
    tokens = tokenise(spell(number, joined=joined, hundred_and=hundred_and))
    found = read_number(tokens, 0)
    assert found is not None
    assert (found.value, found.end) == (Decimal(number), len(tokens))


@given(st.decimals(min_value=0, max_value=1_000_000, places=2, allow_nan=False))
def test_every_number_in_digits_is_read_back(number: Decimal) -> None:
    """Digits are read with and without thousands separators."""
    for text in (f"{number:f}", f"{number:,f}"):
        found = read_number(tokenise(text), 0)
        assert found is not None
        assert found.value == number


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("a dozen", "12"),
        ("two dozen", "24"),
        ("half a dozen", "6"),
        ("a couple of", "2"),
        ("half", "0.5"),
        ("half a", "0.5"),
        ("a half", "0.5"),
        ("three quarters", "0.75"),
        ("two and a half", "2.5"),
        ("twelve and three quarters", "12.75"),
        ("2 1/2", "2.5"),
        ("2½", "2.5"),
        ("1/2", "0.5"),
        ("1,200", "1200"),
        ("a hundred", "100"),
        ("two hundred", "200"),
        ("2 thousand", "2000"),
    ],
)
def test_a_way_of_saying_a_number_is_understood(said: str, value: str) -> None:
    """Dozens, halves, fractions and rounded hundreds mean what they say."""
    found = read_number(tokenise(said), 0)
    assert found is not None
    assert found.value == Decimal(value)


@pytest.mark.parametrize(
    ("said", "value", "unit"),
    [
        ("40 linear feet of gutter", "40", "lf"),
        ("forty linear ft of gutter", "40", "lf"),
        ("120 sf", "120", "sq ft"),
        ("two and a half squares", "2.5", "square"),
        ("three hours", "3", "hour"),
        ("20 feet of pipe", "20", "ft"),
        ("20'", "20", "ft"),
        ("10 sheets of drywall", "10", "sheet"),
        ("3 outlets", "3", None),
        ("3x outlets", "3", None),
        ("12 by 14 feet of wall", "168", "sq ft"),
        ("12' x 14' slab", "168", "sq ft"),
        ("12x14 deck", "168", "sq ft"),
        ("twelve by fourteen deck", "168", "sq ft"),
        ("2.5 x 4 ft landing", "10", "sq ft"),
        ("three or four shingles", "4", None),
        ("about twenty five square feet", "25", "sq ft"),
    ],
)
def test_an_amount_has_its_unit(said: str, value: str, unit: str | None) -> None:
    """Units are recognised in their spellings; two lengths make an area."""
    amount = chosen(read_amounts(tokenise(said)), None, said.split())
    assert amount is not None
    assert (amount.value, amount.unit) == (Decimal(value), unit)


@pytest.mark.parametrize(
    "said",
    [
        "$200",
        "200 dollars",
        "50 percent",
        "50%",
        "20 amp breaker",
        "8-foot fence",
        "2x4 studs",
        "3/4 plywood",
        "24 by 36 inch window",
        "24x36 windows",
        "12 by 14 by 8 feet",
        "20 years",
        "3 o'clock",
        "2nd floor",
        "5:30",
        "555-1234",
        "10/12/2024",
        "#3",
        "5000000",
        "vanity 36in",
        "24 port switch",
        "patio slider 6068",
        "two coats",
        "put in a new one",
    ],
)
def test_a_size_a_price_or_a_date_is_no_amount(said: str) -> None:
    """Numbers that describe, cost or date a thing never count it."""
    assert chosen(read_amounts(tokenise(said)), None, said.split()) is None


@pytest.mark.parametrize(("said", "doubt"), [("about 20 feet", "approximate"), ("3 to 4 hours", "range")])
def test_a_vague_amount_says_that_it_is_vague(said: str, doubt: str) -> None:
    """An approximate amount and a range carry the reason to confirm them."""
    (amount,) = read_amounts(tokenise(said))
    assert doubt in amount.doubts[0]


@pytest.mark.parametrize(
    ("said", "unit", "value"),
    [
        ("50 gallon heater", "each", None),
        ("2 fifty gallon heaters", "each", "2"),
        ("5 gallons of paint", "gal", "5"),
        ("double hung 32x54 - 7 ea", "each", "7"),
        ("filter 420sf - 1", "each", "1"),
        ("paint 420 sf of wall", "sq ft", "420"),
        ("5/8 drywall 12 sheets of 4x8", "sheet", "12"),
        ("2' flood cut 96 LF", "lf", "96"),
        ("1/2 pex 60 ft", "lf", "60"),
        ("10'6\" x 10'", "sq ft", "105"),
        ("11'-8\" of trim", "lf", "11.667"),
        ("8 yards of mulch", "cu yd", "8"),
        ("12 m of baseboard", "lf", None),
        ("20 m2 of wall", "square", None),
        ("two pairs of shutters", "each", "4"),
        ("two pairs of shutters", "pair", "2"),
        ("4 air movers x 3 days", "day", "12"),
        ("2 smoke detectors in each of the 3 bedrooms", "each", "6"),
        ("one per bedroom, 3 bedrooms", "each", "3"),
        ("two downspouts, 10 feet each", "lf", "20"),
    ],
)
def test_the_unit_a_thing_is_sold_by_picks_its_quantity(said: str, unit: str, value: str | None) -> None:
    """A size is no quantity; the same number may be either, and the price book's unit tells."""
    amount = chosen(read_amounts(tokenise(said)), unit, said.split())
    assert (amount.value if amount else None) == (Decimal(value) if value else None)


def test_units_that_mean_the_same_share_a_price() -> None:
    """A price per linear foot serves feet, and never square feet."""
    assert {"ft", "lf", "linear feet"} <= set(compatible("feet"))
    assert not {"sq ft", "square"} & set(compatible("lf"))
    assert canonical("Squares") == canonical("SQ") == "square"
    assert compatible("fathom") == ("fathom",)
