"""Units as contractors say them, and which of them may share a price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.estimate.rules.tokens import Token

EACH = "each"
SQUARE_FEET = "sq ft"
COAT = "coat"

_SPELLINGS: dict[str, tuple[str, ...]] = {
    EACH: ("each", "ea", "ea.", "pc", "pcs", "piece", "pieces", "unit", "units", "count", "item"),
    "ft": ("ft", "foot", "feet", "'"),
    "lf": ("lf", "lin ft", "lineal ft", "linear ft", "linear foot", "linear feet", "lineal foot", "lineal feet",
           "running foot", "running feet", "running ft", "lnft"),
    "yd": ("yd", "yds", "yard", "yards"),
    SQUARE_FEET: ("sq ft", "sqft", "sf", "square foot", "square feet", "square ft", "sq feet", "sq foot", "sq. ft"),
    "sq yd": ("sq yd", "sqyd", "square yard", "square yards"),
    "square": ("square", "squares", "sq", "sqs"),
    "cu yd": ("cu yd", "cuyd", "cy", "cubic yard", "cubic yards"),
    "cu ft": ("cu ft", "cuft", "cubic foot", "cubic feet"),
    "hour": ("hour", "hours", "hr", "hrs", "man hour", "man hours"),
    "day": ("day", "days"),
    "gal": ("gal", "gals", "gallon", "gallons"),
    "lb": ("lb", "lbs", "pound", "pounds"),
    "ton": ("ton", "tons"),
    "bag": ("bag", "bags"),
    "box": ("box", "boxes"),
    "sheet": ("sheet", "sheets"),
    "roll": ("roll", "rolls"),
    "bundle": ("bundle", "bundles"),
    "load": ("load", "loads"),
    COAT: ("coat", "coats"),
    "set": ("set", "sets"),
    "job": ("job", "ls", "lump sum", "lot"),
}  # fmt: skip
_CANONICAL = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings}
_LONGEST = 2
# "8 foot fence" and "50 gallon heater" name a size; "8 feet of fence" and "5 gallons of paint" name an amount.
_SIZE_WHEN_SINGULAR = frozenset({"foot", "yard", "gallon", "pound", "ton", "piece", "hour", "day", "unit", "'"})
# Counting these makes no line of work.
NEVER_A_COUNT = frozenset(
    [
        "percent",
        "dollar",
        "dollars",
        "buck",
        "bucks",
        "cent",
        "cents",
        "grand",
        "year",
        "years",
        "month",
        "months",
        "week",
        "weeks",
        "minute",
        "minutes",
        "second",
        "seconds",
        "am",
        "pm",
        "o'clock",
        "degrees",
        "times",
        "time",
        "mile",
        "miles",
        "story",
        "stories",
    ]
)
# A number before these describes the thing: "20 amp breaker", "3 way switch", "6 panel door".
SIZES = frozenset(
    [
        "inch",
        "inches",
        "in",
        '"',
        "amp",
        "amps",
        "volt",
        "volts",
        "watt",
        "watts",
        "gauge",
        "ply",
        "btu",
        "psi",
        "gpm",
        "mm",
        "cm",
        "way",
        "panel",
        "tab",
        "light",
        "prong",
        "pole",
        "ton",
        "lite",
        "bulb",
        "story",
        "storey",
        "year",
        "hp",
        "cfm",
        "mil",
        "grit",
    ]
)
_SAME_PRICE = (frozenset({"ft", "lf"}),)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit that was read; `end` is the index after it and after a following "of"."""

    name: str
    end: int


def canonical(spelling: str) -> str:
    """Return the canonical name of a unit, or the spelling itself when it is unknown."""
    plain = " ".join(spelling.lower().replace(".", " ").split())
    return _CANONICAL.get(plain, plain)


def compatible(unit: str) -> tuple[str, ...]:
    """Every spelling whose price may be used for `unit`: its own, and those of units that mean the same."""
    name = canonical(unit)
    family = next((group for group in _SAME_PRICE if name in group), frozenset({name}))
    return tuple(sorted({s for member in family for s in (member, *_SPELLINGS.get(member, ()))}))


def read_unit(tokens: Sequence[Token], i: int, *, one: bool) -> Unit | None:
    """Read the longest unit at `i`. `one`: the count before it is 1, so a singular unit is an amount."""
    for length in range(_LONGEST, 0, -1):
        spelling = " ".join(token.text for token in tokens[i : i + length])
        if (name := _CANONICAL.get(spelling)) and i + length <= len(tokens):
            end = i + length
            if _names_a_size(tokens, spelling, end, one=one):
                return None
            return Unit(name, end + 1 if _is(tokens, end, "of") else end)
    return None


def _names_a_size(tokens: Sequence[Token], spelling: str, end: int, *, one: bool) -> bool:
    """Whether the unit belongs to the noun after it ("8 foot fence")."""
    noun_follows = end < len(tokens) and tokens[end].kind == "word" and not _is(tokens, end, "of", "each")
    return spelling in _SIZE_WHEN_SINGULAR and noun_follows and not one


def _is(tokens: Sequence[Token], i: int, *texts: str) -> bool:
    return i < len(tokens) and tokens[i].text in texts
