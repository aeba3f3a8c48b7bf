"""Marks drafted lines against the authored ones. Pure; the definitions are the docstrings."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from benchmarks.estimates.visits import Prices, Visit, Wanted
from jobs.kinds.estimate.model import PricedLine
from store.estimates.units import compatible

_SOURCES = {"notes": "notes", "label": "labels", "audio": "speech"}
_NOT_UNDERSTOOD = "Not understood"


@dataclass
class Marks:
    """Counts of one group of visits.

    `found`: a line names the thing. `right`: it also has its quantity, unit and price. `silent`: the words of a line
    or sentence stand in no quote and no coverage note. `money`: what the wanted lines cost;
    `money_right`: what the right ones do.
    """

    visits: int = 0
    wanted: int = 0
    found: int = 0
    right: int = 0
    right_flagged: int = 0
    drafted: int = 0
    clauses: int = 0
    silent: int = 0
    not_understood: int = 0
    money: Decimal = Decimal(0)
    money_right: Decimal = Decimal(0)
    seconds: float = 0.0
    unflagged: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    extra: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add_visit(
        self, visit: Visit, lines: Sequence[PricedLine], coverage: Sequence[str], prices: Prices
    ) -> list[str]:
        """Count one visit; returns what went wrong, in words."""
        self.visits += 1
        self.drafted += len(lines)
        left, wrong = list(lines), []
        for wanted in sorted(visit.wanted, key=lambda one: -max(len(name) for name in one.names)):
            line = counterpart(wanted, left, prices)
            if line is None and wanted.may_miss:
                continue
            self.wanted += 1
            self.money += _worth(wanted, prices)
            if line is None:
                wrong.append(f"missed: {wanted.names[0]}")
                self.missed[_told_as(wanted, coverage, lines)] += 1
                continue
            left.remove(line)
            self.found += 1
            wrong += self._count(wanted, line, prices)
        self.extra.update(_kind_of_extra(visit, line) for line in left)
        wrong += [f"extra: {line.quantity:f} {line.unit} {line.description}" for line in left]
        wrong += self._count_clauses(visit, lines, coverage)
        return wrong

    def _count(self, wanted: Wanted, line: PricedLine, prices: Prices) -> list[str]:
        faults = _faults(wanted, line, prices)
        if not faults:
            self.right += 1
            self.right_flagged += line.needs_review
            self.reasons.update(map(_kind_of_reason, line.review_reasons))
            self.money_right += _worth(wanted, prices)
            return []
        (self.flagged if line.needs_review else self.unflagged).update(faults)
        flag = "" if line.needs_review else "UNFLAGGED "
        told = f"{line.match.name or [choice.name for choice in line.match.choices]}" if line.match else "nothing"
        wanted_of = f"{wanted.quantities[0]} {wanted.units[0]} {'|'.join(wanted.codes) or wanted.price}"
        got = f"{line.quantity:f} {line.unit} {line.description} as {told}"
        return [f"{flag}{'/'.join(faults)}: {got}, wanted {wanted_of}"]

    def _count_clauses(self, visit: Visit, lines: Sequence[PricedLine], coverage: Sequence[str]) -> list[str]:
        told = _words(" ".join([*coverage, *(e.quote or "" for line in lines for e in line.evidence)]))
        silent = []
        for clause in re.split(r"[.;!?]+(?:\s|$)|\n+", f"{visit.notes}\n{visit.speech}"):
            words = _words(re.sub(r"^\s*\d+\s", "", clause)) - {"s", "t", "ll"}  # "10 permit fee" is the tenth
            if any(not word.isdigit() for word in words):  # "1." only numbers a line
                self.clauses += 1
                silent += [clause] if len(words - told) > len(words) // 4 else []
        self.silent += len(silent)
        self.not_understood += sum(note.count("“") for note in coverage if note.startswith(_NOT_UNDERSTOOD))
        return [f"silent: {clause.strip()}" for clause in silent]


def counterpart(wanted: Wanted, lines: Sequence[PricedLine], prices: Prices) -> PricedLine | None:
    """Find the line of the same source that names the thing; of several the one with the fewest faults."""
    named = [line for line in lines if wanted.source in _sources(line) and _names(wanted, line)]
    return min(
        named,
        key=lambda line: (len(_faults(wanted, line, prices)), not _names(wanted, line, quotes=False)),
        default=None,
    )


def _names(wanted: Wanted, line: PricedLine, *, quotes: bool = True) -> bool:
    text = line.description + (" ".join(e.quote or "" for e in line.evidence) if quotes else "")
    return any(name.lower() in text.lower() or _stems(name) <= _stems(text) for name in wanted.names)


def _faults(wanted: Wanted, line: PricedLine, prices: Prices) -> list[str]:
    units = {spelling for unit in wanted.units for spelling in compatible(unit)}
    code = prices.codes.get(line.price_item_id) if line.price_item_id else None
    if wanted.may_miss and line.unit_price in {None, 0}:
        return []
    faults = [] if line.quantity in wanted.quantities else ["quantity"]
    faults += [] if line.unit in units else ["unit"]
    if wanted.price is not None:
        faults += [] if line.unit_price == wanted.price else ["price"]
    elif code not in (wanted.codes or (None,)):
        faults += ["no price" if line.unit_price is None else "price"]
    return faults


def _worth(wanted: Wanted, prices: Prices) -> Decimal:
    if wanted.price is not None:
        return wanted.price * wanted.quantities[0]
    return prices.of_code(wanted.codes[0]) * wanted.quantities[0] if wanted.codes else Decimal(0)


def _told_as(wanted: Wanted, coverage: Sequence[str], lines: Sequence[PricedLine]) -> str:
    """Return what became of a missed line: the note that names it, or part of another line."""
    for note in coverage:
        if any(name.lower() in note.lower() for name in wanted.names):
            return note.partition(":")[0]
    return "in another line" if any(_names(wanted, line) for line in lines) else "elsewhere"


def _kind_of_extra(visit: Visit, line: PricedLine) -> str:
    """Return what an extra line really is, where the visit says so."""
    quotes = [" ".join((evidence.quote or "").lower().split()) for evidence in line.evidence]
    for text, kind in visit.no_line:
        said = " ".join(text.lower().split())
        if any(said in quote or quote in said for quote in quotes if quote):
            return kind
    return "part of a line"


def _kind_of_reason(reason: str) -> str:
    """Return a reason without the words and numbers of its visit."""
    return re.split(r"[“(;:\d]", reason)[0].strip()


def _sources(line: PricedLine) -> set[str]:
    return {_SOURCES[evidence.source] for evidence in line.evidence if evidence.source in _SOURCES}


def _stems(text: str) -> set[str]:
    return {word.rstrip("s") for word in re.findall(r"[a-z0-9]+", text.lower())}


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))
