"""Marks drafted lines against the authored ones. Pure; the definitions are the docstrings."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.estimates.visits import Wanted
from jobs.kinds.estimate.model import PricedLine
from jobs.kinds.estimate.rules.lexicon import singular
from store.estimates.units import compatible

_SOURCES = {"notes": "notes", "label": "labels", "audio": "speech"}


@dataclass
class Marks:
    """Counts of one group of visits; the shares are what is reported."""

    wanted: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    drafted: int = 0
    matched: int = 0
    invented: int = 0
    invented_from_speech: int = 0
    evidence: int = 0
    evidence_kept: int = 0
    lines_without_evidence: int = 0
    quantities: int = 0
    quantities_right: int = 0
    quantity_error: float = 0.0
    unflagged_guesses: int = 0
    items: int = 0
    items_right: int = 0
    wrongly_priced: int = 0
    terms: int = 0
    terms_missed: int = 0

    def add_visit(self, wanted: Sequence[Wanted], lines: Sequence[PricedLine], codes: Sequence[str]) -> "list[str]":
        """Count one visit; `codes` are the price items of the lines. Returns what went wrong, in words."""
        left, wrong = list(enumerate(lines)), []
        # The most particular first: a "deck railing" must not be spent on the "deck".
        for line in sorted(wanted, key=lambda one: -min(len(thing.split()) for thing in one.things)):
            self.wanted[line.source] = self.wanted.get(line.source, 0) + 1
            at = _counterpart(line, left)
            if at is None:
                wrong.append(f"missed: {line.quantity or ''} {line.things[0]} ({line.source})")
                continue
            left.remove(at)
            self.found[line.source] = self.found.get(line.source, 0) + 1
            self.matched += 1
            wrong += self._quantity(line, at[1]) + self._price(line, at[1], codes[at[0]])
        self.drafted += len(lines)
        for _, extra in left:
            invented = not _named(wanted, extra)
            self.invented += invented
            self.invented_from_speech += invented and _sources(extra) == {"speech"}
            wrong.append(f"{'invented' if invented else 'extra'}: {extra.quantity} {extra.unit} {extra.description}")
        return wrong

    def _quantity(self, wanted: Wanted, line: PricedLine) -> list[str]:
        """Count a stated quantity as right with its number and a unit of the same price; a guess must be flagged."""
        if wanted.quantity is None:
            self.unflagged_guesses += not line.needs_review
            return [] if line.needs_review else [f"not to be confirmed: {line.description}"]
        self.quantities += 1
        right = line.quantity == wanted.quantity and line.unit in compatible(wanted.unit)
        self.quantities_right += right
        self.quantity_error += float(abs(line.quantity - wanted.quantity) / wanted.quantity)
        said = f"quantity: {line.quantity} {line.unit} for {wanted.quantity} {wanted.unit} {wanted.things[0]}"
        return [] if right else [said]

    def _price(self, wanted: Wanted, line: PricedLine, code: str) -> list[str]:
        """Count a price as right when it is the authored item's, or when there is none where none was authored."""
        self.items += 1
        self.items_right += code == wanted.item
        self.wrongly_priced += code not in {"", wanted.item}
        return [] if code == wanted.item else [f"priced {code or '-'} for {wanted.item or '-'}: {line.description}"]

    def recall(self, *sources: str) -> float:
        """Return the share of authored lines that were drafted."""
        wanted = sum(self.wanted.get(source, 0) for source in sources)
        return sum(self.found.get(source, 0) for source in sources) / wanted if wanted else 1.0

    @property
    def precision(self) -> float:
        """Drafted lines that were authored."""
        return self.matched / self.drafted if self.drafted else 1.0


def _counterpart(wanted: Wanted, lines: Iterable[tuple[int, PricedLine]]) -> tuple[int, PricedLine] | None:
    """Find the line of the same source that holds all of the thing's words; of several the one with its quantity."""
    named = [(i, line) for i, line in lines if wanted.source in _sources(line) and _names(wanted, line)]
    alike = [(i, line) for i, line in named if line.quantity == wanted.quantity]
    return next(iter(alike or named), None)


def _names(wanted: Wanted, line: PricedLine) -> bool:
    words = _words(line.description)
    return any(_words(thing) <= words for thing in wanted.things)


def _named(wanted: Sequence[Wanted], line: PricedLine) -> bool:
    """Whether any word of any thing that was asked for stands in the line; if none does, it was invented."""
    words = _words(line.description)
    return any(_words(thing) & words for one in wanted for thing in one.things)


def _sources(line: PricedLine) -> set[str]:
    return {_SOURCES[evidence.source] for evidence in line.evidence if evidence.source in _SOURCES}


def _words(text: str) -> set[str]:
    return {singular(word) for word in re.findall(r"[a-z0-9]+", text.lower())}
