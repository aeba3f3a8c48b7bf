"""Amounts: a number with its unit, dimensions that make an area, articles and vague words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from jobs.kinds.estimate.rules import lexicon
from jobs.kinds.estimate.rules.numbers import read_number
from jobs.kinds.estimate.rules.units import NEVER_A_COUNT, SIZES, read_unit
from store.estimates.units import COAT, SQUARE_FEET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.rules.tokens import Token

ONE = Decimal(1)
_FEET = frozenset({"'", "ft", "foot", "feet"})
_INCHES = frozenset({'"', "in", "inch", "inches"})
_THOUSANDTH = Decimal("0.001")
# More square feet than any roof; such dimensions are a slip.
_LARGEST_AREA = Decimal(1_000_000)
NOT_STATED = "quantity not stated"


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount between two token indexes; 0 takes a thing back ("make that zero").

    `stated` is False when 1 only stands in for what was not said.
    """

    value: Decimal
    unit: str | None
    start: int
    end: int
    stated: bool = True
    assumptions: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def is_stated(quantity: Quantity | None) -> bool:
    """Whether somebody gave the amount, rather than leaving it to be told from the words."""
    return quantity is not None and quantity.stated


def read_quantity(tokens: Sequence[Token], i: int) -> Quantity | None:
    """Read an amount, an article or a determiner at `i`."""
    if _text(tokens, i) == "(":
        inside = read_amount(tokens, i + 1)
        return replace(inside, end=inside.end + 1) if inside and _text(tokens, inside.end) == ")" else None
    return read_amount(tokens, i) or _without_a_number(tokens, i)


def _without_a_number(tokens: Sequence[Token], i: int) -> Quantity | None:
    word = _text(tokens, i)
    if word in lexicon.ARTICLES:
        return _after_article(tokens, i)
    if word == "another":
        return Quantity(ONE, None, i, i + 1)
    if word == "both":
        return Quantity(Decimal(2), None, i, _skip(tokens, i + 1, {"of", "the", "these", "those"}))
    if word in lexicon.DETERMINERS:
        return _after_determiner(tokens, i)
    return _vague(tokens, i) if word in lexicon.VAGUE else None


def read_amount(tokens: Sequence[Token], i: int) -> Quantity | None:
    """Read an explicit number at `i`, with its unit or as dimensions; None for sizes, money, times and dates."""
    j = _skip(tokens, i, lexicon.APPROXIMATE)
    found = _dimensions(tokens, j) or _count(tokens, j)
    if found is None:
        return None
    if j > i:
        found = replace(found, doubts=(*found.doubts, f"quantity was said as approximate (“{_text(tokens, i)}”)"))
    return replace(found, start=i)


def _after_article(tokens: Sequence[Token], i: int) -> Quantity:
    """Read "a": one, or the one unit or the dimensions that follow it."""
    if (area := _dimensions(tokens, i + 1)) is not None:
        return replace(area, start=i)
    if _text(tokens, i + 1) in {"few", "lot"}:
        return _vague(tokens, i + 1)
    unit = read_unit(tokens, i + 1, one=True)
    if unit and _text(tokens, unit.end - 1) == "of":
        return Quantity(ONE, unit.name, i, unit.end)
    return Quantity(ONE, None, i, i + 1)


def _after_determiner(tokens: Sequence[Token], i: int) -> Quantity:
    """Read "the two", "these three", or "the" without a number."""
    amount = read_amount(tokens, i + 1)
    return replace(amount, start=i) if amount else Quantity(ONE, None, i, i + 1, stated=False)


def _vague(tokens: Sequence[Token], i: int) -> Quantity:
    """Read "all three" as three, and "several" as unknown."""
    j = _skip(tokens, i + 1, {"of", "the", "these", "those", "our", "their"})
    amount = read_amount(tokens, j)
    if amount is not None:
        return replace(amount, start=i)
    doubt = f"{NOT_STATED} (“{_text(tokens, i)}” was said)"
    return Quantity(ONE, None, i, j, stated=False, doubts=(doubt,))


def _count(tokens: Sequence[Token], i: int) -> Quantity | None:
    """Read a number that counts or measures something."""
    number = read_number(tokens, i)
    if number is None or _describes_the_noun(tokens, number.end) or _starts_dimensions(tokens, number.end):
        return None
    value, end = number.value, number.end
    doubts: tuple[str, ...] = ()
    upper = _range_end(tokens, end, value)
    if upper is not None:
        value, end, doubts = upper[0], upper[1], (f"a range was said ({_plain(value)} to {_plain(upper[0])})",)
        if _describes_the_noun(tokens, end):
            return None
    end = _skip(tokens, end, {"x"})
    unit = read_unit(tokens, end, one=value <= ONE)
    if unit is None and (_size_follows(tokens, end) or "/" in tokens[i].text):
        return None
    if unit and unit.name == COAT:
        doubts += ("coats were counted, not what they cover",)
    end = unit.end if unit else _skip(tokens, end, {"of", "the", *lexicon.MORE} - {"new"})
    rounded = value.quantize(_THOUSANDTH).normalize() if value % ONE else value
    return Quantity(rounded, unit.name if unit else None, i, end, doubts=doubts)


def _range_end(tokens: Sequence[Token], i: int, low: Decimal) -> tuple[Decimal, int] | None:
    """Read "or four", "to four", "-4" after a number."""
    if _text(tokens, i) not in {"or", "to", "-"}:
        return None
    high = read_number(tokens, i + 1)
    return (high.value, high.end) if high and high.value > low else None


def _describes_the_noun(tokens: Sequence[Token], i: int) -> bool:
    """Whether the number before `i` is a size ("8-foot", "20 amp"), a date, a price or a share."""
    word = _text(tokens, i)
    if word == "-" and i + 1 < len(tokens) and tokens[i + 1].kind == "word":
        return read_number(tokens, i + 1) is None
    return word in NEVER_A_COUNT or (word in SIZES and not _in_a_place(tokens, i) and not _are_lights(tokens, i))


def _are_lights(tokens: Sequence[Token], i: int) -> bool:
    """Tell "five light fixtures" from "a 5 light chandelier": many things are counted, one thing is described."""
    following = _text(tokens, i + 1)
    return _text(tokens, i) == "light" and lexicon.singular(following) != following


def _in_a_place(tokens: Sequence[Token], i: int) -> bool:
    """Tell "three in the kitchen" from "3 in pipe"."""
    return _text(tokens, i) == "in" and _text(tokens, i + 1) in lexicon.DETERMINERS | lexicon.ARTICLES | {""}


def _size_follows(tokens: Sequence[Token], i: int) -> bool:
    """Whether a unit stands here that belongs to the noun after it ("50 gallon heater")."""
    return _text(tokens, i) != "" and read_unit(tokens, i, one=True) is not None


def _dimensions(tokens: Sequence[Token], i: int) -> Quantity | None:
    """Read "12 by 14 feet" as an area. Inches, three dimensions and lumber sizes are no area."""
    first = read_number(tokens, i)
    if first is None:
        return None
    first_unit, j = _length_unit(tokens, first.end)
    if not _is_by(tokens, j):
        return None
    second = read_number(tokens, j + 1)
    if second is None:
        return None
    second_unit, end = _length_unit(tokens, second.end)
    if "inch" in {first_unit, second_unit} or _is_by(tokens, end):
        return None
    assumed = first_unit is None and second_unit is None
    if (assumed and not _covers_an_area(tokens, end)) or first.value * second.value > _LARGEST_AREA:
        return None
    return _area(first.value, second.value, i, _skip(tokens, end, {"of"}), assumed=assumed)


def _area(width: Decimal, length: Decimal, start: int, end: int, *, assumed: bool) -> Quantity:
    value = (width * length).quantize(_THOUSANDTH).normalize()
    value = value.quantize(ONE) if value == value.to_integral() else value
    said = f"{_plain(width)} x {_plain(length)} ft = {_plain(value)} sq ft"
    return Quantity(
        value,
        SQUARE_FEET,
        start,
        end,
        assumptions=(said, "dimensions taken as feet") if assumed else (said,),
    )


def _length_unit(tokens: Sequence[Token], i: int) -> tuple[str | None, int]:
    j = i + 1 if _text(tokens, i) == "-" else i
    if _text(tokens, j) in _FEET:
        return "foot", j + 1
    if _text(tokens, j) in _INCHES and not _in_a_place(tokens, j):
        return "inch", j + 1
    return None, i


def _is_by(tokens: Sequence[Token], i: int) -> bool:
    return i < len(tokens) and (tokens[i].kind == "by" or tokens[i].text in {"by", "times"})


def _starts_dimensions(tokens: Sequence[Token], i: int) -> bool:
    """Whether the number before `i` is the first of "2 x 4": then it is no count."""
    j = _length_unit(tokens, i)[1]
    return _is_by(tokens, j) and read_number(tokens, j + 1) is not None


def _covers_an_area(tokens: Sequence[Token], i: int) -> bool:
    """Whether bare dimensions end the clause or belong to something with an area ("12 by 14 deck")."""
    words = []
    for token in tokens[i : i + 5]:
        if token.kind != "word" or token.text in lexicon.PREPOSITIONS | lexicon.CONJUNCTIONS:
            break
        words.append(lexicon.singular(token.text))
    return not words or not lexicon.AREA_NOUNS.isdisjoint(words)


def _skip(tokens: Sequence[Token], i: int, words: set[str] | frozenset[str]) -> int:
    while _text(tokens, i) in words:
        i += 1
    return i


def _text(tokens: Sequence[Token], i: int) -> str:
    return tokens[i].text if 0 <= i < len(tokens) else ""


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
