"""The amounts of a clause. Which one is the quantity, the thing decides.

"50 gallon heater, 2" is two heaters of a size, "5 gallons of paint" is an amount of paint; so each number is kept with
possible readings, and `chosen` picks for the unit a thing is sold by.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from jobs.kinds.estimate.book.stems import singular
from jobs.kinds.estimate.rules.amounts.units import AREA_THINGS, HAVE_A_CAPACITY, LENGTHS, MEASURES, TIMES
from jobs.kinds.estimate.rules.words import ROOMS
from store.estimates.units import EACH, PACKAGES, SQUARE_FEET, canonical

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobs.kinds.estimate.book.sizes import Size

# A bare number this large is a door's 6068 or a model; nobody counts a thousand of anything without a unit.
_DOOR = Decimal(1000)
# A bare number below this counts things; "the chain link, one eighty" is feet.
_UNITLESS = Decimal(10)
_LEAST_AREA = Decimal(40)
_LARGEST = Decimal(100_000_000)

# `count` is bare, `measure` has a unit, `area` is made of dimensions, `size` only describes, `label` is
# part of a name ("R-38", "room 204").
Kind = Literal["count", "measure", "area", "size", "money", "label"]
# How surely it is the quantity: marked ("qty 2", "(2)", "2 ea"), firm (a unit that only measures), soft ("50 gal ..."),
# loose (a bare number before or behind its thing, bare dimensions).
Grip = Literal["marked", "firm", "loose", "soft"]
_GRIPS = {"marked": 3, "firm": 2, "loose": 1, "soft": 0}


@dataclass(frozen=True, slots=True)
class Amount:
    """A number between two tokens of its clause, its unit canonical; `at` and `until` are its place in the source."""

    kind: Kind
    value: Decimal
    unit: str | None
    start: int
    end: int
    grip: Grip = "loose"
    sizes: frozenset[Size] = frozenset()
    assumptions: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    unit_at: int = -1
    at: int = -1
    until: int = -1
    last: bool = False

    @property
    def stated(self) -> bool:
        """Whether it may be a quantity."""
        return self.kind in {"count", "measure", "area"}


def chosen(amounts: Iterable[Amount], unit: str | None, words: Iterable[str] = ()) -> Amount | None:
    """Return the amount that is the quantity of a thing sold by `unit` (None: nobody knows), if one was said."""
    stated = [amount for amount in amounts if amount.stated and 0 < amount.value < _LARGEST]
    if unit is None or canonical(unit) in TIMES:
        stated = _over_time(stated)
    if unit is None and any(word in HAVE_A_CAPACITY for word in words):
        stated = [a for a in stated if a.kind != "measure" or a.unit not in {"yd", "gal", "ton"}]
    if unit is None:
        covers = any(singular(word) in AREA_THINGS for word in words)
        order = (
            [a for a in stated if a.grip == "marked"],
            [a for a in stated if a.kind == "measure" and a.grip == "firm"],
            [a for a in stated if a.kind == "count"],
            [a for a in stated if a.kind == "area" and covers],
            [a for a in stated if a.kind == "measure"],
        )
        return next((some[-1] if some[-1].kind == "measure" else some[0] for some in order if some), None)
    name = canonical(unit)
    if name in MEASURES:
        fitting = [a for a in stated if a.kind != "count" and _carries(a.unit, name)]
        best = max(fitting, key=lambda a: (a.unit == name, _GRIPS[a.grip], a.start), default=None)
        return best or next((_taken_as(a, name) for a in stated if _is_unitless(a)), None)
    own = [a for a in stated if a.unit == name]
    if name == EACH:
        pairs = ("a pair was taken as two",)
        own = [
            replace(a, kind="count", value=2 * a.value, unit=None, doubts=(*a.doubts, *pairs))
            for a in stated
            if a.unit == "pair"
        ]
        own += [replace(a, kind="count", unit=None) for a in stated if a.unit in PACKAGES - {"pair"}]
    counts = [a for a in stated if a.kind == "count" and a.unit is None]
    if name == "pair":
        doubt = "sold by the pair; check whether pairs or single ones were counted"
        counts = [replace(a, doubts=(*a.doubts, doubt)) for a in counts]
    mentioned = name == EACH or name not in PACKAGES or any(canonical(word) == name or word in ROOMS for word in words)
    return next(iter([*own, *sorted(counts if mentioned else [], key=lambda a: -_GRIPS[a.grip])]), None)


def feet_as_area(amounts: Iterable[Amount]) -> tuple[Amount, ...]:
    """Return the amounts with feet as square feet: "level four, call it eleven hundred feet"; flagged."""
    doubt = "feet were said; taken as square feet"
    return tuple(
        replace(a, unit=SQUARE_FEET, doubts=(*a.doubts, doubt))
        if a.kind == "measure" and a.unit in LENGTHS and a.value >= _LEAST_AREA
        else a
        for a in amounts
    )


def contradicts(amounts: Iterable[Amount], unit: str) -> bool:
    """Whether the counted or measured thing surely is not sold by `unit`: 40 lf of something priced each."""
    name = canonical(unit)
    stated = [amount for amount in amounts if amount.stated and 0 < amount.value < _LARGEST]
    if name in MEASURES:
        return any(a.kind == "count" and not _is_unitless(a) for a in stated) or any(
            a.kind == "measure" and a.grip == "firm" and not _carries(a.unit, name) for a in stated
        )
    return bool(measured_otherwise(stated, name)) and not any(a.grip == "marked" or a.unit == name for a in stated)


def measured_otherwise(amounts: Iterable[Amount], unit: str) -> list[Amount]:
    """Return the sure measures that are not in `unit` nor a package of things."""
    name = canonical(unit)
    return [a for a in amounts if a.kind == "measure" and a.grip == "firm" and a.unit not in PACKAGES | {name}]


def plain(value: Decimal) -> str:
    """Write a number without its trailing zeros."""
    return f"{value.normalize():f}"


def _is_unitless(amount: Amount) -> bool:
    """Whether a bare number ends its clause, and may be in its thing's own unit: "the chain link, one eighty"."""
    return (
        amount.kind == "count"
        and amount.grip == "loose"
        and amount.last
        and amount.start > 0
        and amount.value >= _UNITLESS
    )


def _taken_as(amount: Amount, unit: str) -> Amount:
    """Give a bare number the unit of its thing. Nobody counts 340 of an insulation; of 12 it could be anything."""
    said = f"no unit was said; taken as {unit}"
    if amount.value >= _LEAST_AREA:
        return replace(amount, kind="measure", unit=unit, assumptions=(*amount.assumptions, said))
    return replace(amount, kind="measure", unit=unit, doubts=(*amount.doubts, said))


def _over_time(stated: list[Amount]) -> list[Amount]:
    """Take "4 air movers x 3 days" as 12 days."""
    counts = [a for a in stated if a.kind == "count" and a.grip != "marked"]
    times = [a for a in stated if a.unit in TIMES]
    if len(counts) != 1 or len(times) != 1 or times[0].start < counts[0].start:
        return stated
    value = counts[0].value * times[0].value
    told = f"{plain(counts[0].value)} x {plain(times[0].value)} {times[0].unit} = {plain(value)}"
    return [replace(times[0], value=value, grip="marked", assumptions=(told,))]


def _carries(unit: str | None, name: str) -> bool:
    """Whether an amount in `unit` is an amount in `name`: feet are linear feet, yards of gravel are cubic."""
    return unit == name or (unit in LENGTHS and name in LENGTHS) or (unit == "yd" and name in {"cu yd", "sq yd"})
