"""Sizes: numbers that describe a thing rather than count it, and the one table of the units they are in."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from jobs.kinds.estimate.rules.amounts.numbers import read_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.kinds.estimate.rules.tokens import Token

# A number with its unit; the unit is "" where none was said ("1/2 pex"), "x" for a side of several ("24 x 36").
Size: TypeAlias = tuple[Decimal, str]


def _spellings(units: Mapping[str, str]) -> dict[str, str]:
    return {spelling: unit for unit, spellings in units.items() for spelling in spellings.split()}


# They only describe: nobody sells by the inch or the amp.
DESCRIBING = _spellings(
    {
        "in": 'in inch inches "',
        "amp": "amp amps a",
        "ga": "gauge ga",
        "gal": "g",
        "ton": "t",
        "ft": "footer footers",
        "btu": "btu btus",
        "k": "k",
        "way": "way ways port pole gang zone burner station tab prong bulb",
        "panel": "panel lite light",
        "layer": "layer layers",
        "kw": "kw kilowatt",
        "kwh": "kwh",
        "hp": "hp horse horsepower",
        "psi": "psi",
        "mil": "mil",
        "v": "v volt volts",
        "w": "w watt watts",
        "ply": "ply",
        "mm": "mm",
        "cm": "cm",
        "gpm": "gpm",
        "cfm": "cfm",
        "coat": "coat coats",
        "story": "story stories storey",
        "yr": "year years yr yrs",
        "min": "minute minutes min mins",
        "seer": "seer",
        "speed": "speed",
        "stage": "stage",
        "side": "side sides",
        "degree": "degree",
        "percent": "percent",
        "": "times point step o'clock",
    }
)
# They measure as often as they describe.
MEASURING = _spellings(
    {
        "ft": "ft foot feet '",
        "gal": "gal gallon gallons",
        "ton": "ton tons",
        "yd": "yd yard yards",
        "sf": "sf sqft",
        "lb": "lb lbs pound",
    }
)
_UNITS = DESCRIBING | MEASURING
# What a measure is called where it is a size.
_OF_MEASURES = {"gal": "gal", "ton": "ton", "ft": "ft", "yd": "yd", "lb": "lb", "sq ft": "sf", "lf": "ft"}
_THOUSANDS = "k"


def size_of_measure(unit: str) -> str:
    """Return what a measuring unit is called where it is a size; "" for one that never is."""
    return _OF_MEASURES.get(unit, "")


def scaled(value: Decimal, unit: str) -> Size:
    """Return a size with "12k" written out: what is given in thousands are BTU."""
    return (value * 1000, "btu") if unit == _THOUSANDS else (value, unit)


def read_size(tokens: Sequence[Token], i: int) -> tuple[int, set[Size]] | None:
    """Read "5/8 inch", "6-ft", "24 x 36", "number 4" at `i`; gives the index after it and the sizes."""
    if tokens[i].text in {"number", "no"} and i + 1 < len(tokens):
        number = read_number(tokens, i + 1)
        return (number.end, {(number.value, "no")}) if number else None
    if tokens[i].text.startswith("#") and tokens[i].text[1:].strip().isdigit():
        return i + 1, {(Decimal(tokens[i].text[1:]), "no")}
    if tokens[i].kind == "length" and tokens[i].value is not None:
        return i + 1, {(tokens[i].value or Decimal(0), "ft")}
    number = read_number(tokens, i)
    if number is None:
        return None
    end, unit = _unit(tokens, number.end)
    sizes = {scaled(number.value, unit)}
    high = read_number(tokens, end + 1) if end < len(tokens) and tokens[end].text == "to" else None
    if high is not None:
        end, unit = _unit(tokens, high.end)
        return end, {scaled(number.value, unit), scaled(high.value, unit)}
    while end < len(tokens) and (tokens[end].kind == "by" or tokens[end].text == "by"):
        number = read_number(tokens, end + 1)
        if number is None:
            break
        # "4x8 1/2": the fraction behind a side is another size, not part of it.
        side = tokens[end + 1].value or number.value
        end, _ = _unit(tokens, end + 2 if tokens[end + 1].value else number.end)
        sizes = {(value, "x") for value, _ in sizes} | {(side, "x")}
    return end, sizes


def _unit(tokens: Sequence[Token], i: int) -> tuple[int, str]:
    j = i + 1 if i < len(tokens) and tokens[i].text == "-" else i
    if j + 1 < len(tokens) and tokens[j].text in {"sq", "square"} and tokens[j + 1].text in {"ft", "feet", "foot"}:
        return j + 2, "sf"
    if j < len(tokens) and tokens[j].text in _UNITS:
        return j + 1, _UNITS[tokens[j].text]
    return i, ""
