"""Reads units as contractors say them; their spellings are `store.estimates.units`'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.estimates.units import CANONICAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.rules.tokens import Token

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


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit that was read; `end` is the index after it and after a following "of"."""

    name: str
    end: int


def read_unit(tokens: Sequence[Token], i: int, *, one: bool) -> Unit | None:
    """Read the longest unit at `i`. `one`: the count before it is 1, so a singular unit is an amount."""
    for length in range(_LONGEST, 0, -1):
        spelling = " ".join(token.text for token in tokens[i : i + length])
        if (name := CANONICAL.get(spelling)) and i + length <= len(tokens):
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
