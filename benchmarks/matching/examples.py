"""Lines with the items that they mean, read from the namings and the authored visits by the local engine's rules."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.estimates.__main__ import BOOK, PHRASINGS, SCOPES, TRADES, WALKS, estimate
from benchmarks.estimates.marking import counterpart
from benchmarks.estimates.visits import Prices, Visit, demo_visits, read_prices, visits_in
from jobs.kinds.estimate.engines.local.engine import LocalEngine
from jobs.kinds.estimate.steps.pricing import sought, trades_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobs.kinds.estimate.model import DraftLine

NAMINGS = Path(__file__).with_name("namings.txt")
_LINES_A_VISIT = 7
_NOTHING = "-"  # the code of what the book does not have
# What people write around the name of a thing.
_AROUND = (
    *["{}"] * 8,
    "{}, hall bath",
    "need {}",
    "{} per owner",
    "also {}",
    "back bedroom: {}",
    "{} by the driveway",
    "{} at the Miller side",
    "we'll do {}",
    "{} - match existing",
    "she wants {}",
    "figure {}",
    "{} (see pic)",
    "full {}",
    "{} like we talked about",
)


@dataclass(frozen=True)
class Example:
    """The candidates of a line by their features, the codes of those, "none" by its, and the codes that are right."""

    text: str
    items: tuple[tuple[float, ...], ...]
    codes: tuple[str, ...]
    none: tuple[float, ...]
    right: frozenset[str]


@dataclass(frozen=True)
class Naming:
    """One way to write a line of an item."""

    code: str
    text: str


def namings() -> list[Naming]:
    """Read the file of namings."""
    found = []
    for line in NAMINGS.read_text(encoding="utf-8").splitlines():
        code, _, ways = line.partition(": ")
        if not line.startswith("#"):
            found += [Naming(code, way.rpartition(" =")[0]) for way in ways.split("; ")]
    return found


async def examples() -> list[Example]:
    """Read all examples; the rules draft their lines with the weights that stand."""
    engine = LocalEngine()
    book = read_prices(BOOK)
    sets = [demo_visits(), visits_in(TRADES, ""), visits_in(PHRASINGS, "", BOOK), visits_in(WALKS, "", BOOK)]
    sets += [visits_in(SCOPES, "", BOOK)]
    try:
        found = [
            one for visit, ways in _visits_of(namings(), book) for one in await _of_namings(engine, visit, ways, book)
        ]
        for visits in sets:
            for visit in visits.visits:
                found += await _of_visit(engine, visit, visits.prices)
    finally:
        await engine.aclose()
    return found


def _visits_of(ways: Sequence[Naming], prices: Prices) -> Iterator[tuple[Visit, Sequence[Naming]]]:
    """Make visits of the namings, always the same: of one category each, then of all."""
    rest, mixed = list(ways), list(ways)
    random.Random(1).shuffle(rest)
    random.Random(2).shuffle(mixed)
    categories = {_NOTHING: ""} | {prices.codes[item.id]: item.category for item in prices.book.items}
    rest.sort(key=lambda way: categories[way.code])
    noise = random.Random(3)
    for those in (rest, mixed):
        for start in range(0, len(those), _LINES_A_VISIT):
            some = [
                Naming(way.code, noise.choice(_AROUND).format(way.text))
                for way in those[start : start + _LINES_A_VISIT]
            ]
            notes = "\n".join(["Smith job", *(f"- {way.text}" for way in some)])
            yield Visit(f"{start}", "", notes, "", (), ()), some


async def _of_namings(engine: LocalEngine, visit: Visit, ways: Sequence[Naming], prices: Prices) -> list[Example]:
    lines, _ = await estimate(engine, visit, prices, hear=False)
    found = []
    for way in ways:
        mine = [line for line in lines if any((e.quote or "").strip(" -") in way.text for e in line.evidence)]
        found += [_example(line, lines, prices, {way.code} - {_NOTHING}) for line in mine[:1]]
    return found


async def _of_visit(engine: LocalEngine, visit: Visit, prices: Prices) -> list[Example]:
    lines, _ = await estimate(engine, visit, prices, hear=False)
    found = []
    for wanted in visit.wanted:
        line = counterpart(wanted, lines, prices)
        if line is not None and wanted.price is None:
            found.append(_example(line, lines, prices, set(wanted.codes)))
    return found


def _example(line: DraftLine, lines: Sequence[DraftLine], prices: Prices, right: set[str]) -> Example:
    terms, as_sold = sought(line)
    found = prices.book.candidates(terms, as_sold, trades_of(prices.book, lines))
    return Example(
        line.named or line.description,
        tuple(found.features),
        tuple(prices.codes[pair.item.id] for pair in found.pairs),
        found.none,
        frozenset(right),
    )
