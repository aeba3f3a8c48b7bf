"""From passages to draft lines: the front door of the rules. Nothing that was typed or said is dropped."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import fmean
from typing import TYPE_CHECKING

from jobs.kinds.estimate.book.book import EMPTY, Sold, choose
from jobs.kinds.estimate.book.stems import singular
from jobs.kinds.estimate.book.terms import terms_of
from jobs.kinds.estimate.model import DraftLine
from jobs.kinds.estimate.rules.amounts.amount_parser import read_amounts
from jobs.kinds.estimate.rules.amounts.amounts import Amount, chosen, contradicts, feet_as_area, measured_otherwise
from jobs.kinds.estimate.rules.amounts.units import LENGTHS
from jobs.kinds.estimate.rules.categories import GENERAL, category_of
from jobs.kinds.estimate.rules.clauses import remarks
from jobs.kinds.estimate.rules.clauses.phrases import bare
from jobs.kinds.estimate.rules.doubts import doubts_of
from jobs.kinds.estimate.rules.reader import UNNAMED, Item, Remark, read_passage
from jobs.kinds.estimate.rules.tokens import tokenise
from jobs.kinds.estimate.rules.words import PREPOSITIONS, ROOMS, is_content, is_verb
from store.estimates.units import EACH, PACKAGES, SQUARE_FEET, canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jobs.kinds.estimate.book.book import Book, Fit
    from jobs.kinds.estimate.book.sizes import Size
    from jobs.kinds.estimate.rules.passages import Passage

NOT_STATED = "quantity not stated"
TAKEN_AS_ONE = "no number was given; taken as one"
_LABOR = "labor"
_ONE = Decimal(1)
_CENT = Decimal("0.01")
_TYPED = 0.9
_SPOKEN = 0.95  # of the speech engine's own certainty
_DOUBTFUL = 0.5
# Below this the speech engine was guessing; a guessed number must be seen by somebody. Not higher: "two" and "2"
# share what certainty there is.
_HARD_TO_HEAR = 0.3
# A thing that no trade knows must be heard better than this; the words of the trades may be mumbled.
_HARD_TO_TELL = 0.7
_LONGEST = 500
# From this probability on an item of the book shows that a bare clause names work.
_MAY_BE_MEANT = 0.1
# "Condenser, five ton", "dumpster 20 yd": a measure that may be the size of the one thing.
_MAY_BE_SIZES = frozenset({"ton", "gal", "yd", "lb", "ft"})
_LEAD = re.compile(
    r"^(?:(?:call it|figure|say|let's say|looks like|i'd say|make it)\s+|"
    r"(?:the|an?|those|these|and|then|also|but|plus|so|please|just)\s+|"
    r"(?:the )?(?:customer|owner|client|homeowner|they|he|she|we|i|you) "
    r"(?:also )?(?:wants?|needs?|would like|asked|have|has|got)(?: (?:us|me|you))?"
    r"(?: to)?\s+|we'?re (?:gonna|going to)\s+)+",
    re.IGNORECASE,
)
_PLACE_FIRST = re.compile(
    r"^((?:in|on|at|for) [^,]{3,40}?),? (?:we|i|they) (?:need|want|have|got) to (.+)$", re.IGNORECASE
)
_EDGES = " ,;:-*@/&+=\u2013\u2014"
_BEFORE_MONEY = frozenset({"of", "for", "at", "@", "is", "runs", "costs"})
_LOOSE_END = re.compile(
    r"(?:\s+(?:for|of|to|at|with|and|or|the|a|is|are|it's|about|approx\.?|probably|by))+$", re.IGNORECASE
)
_PRONOUN = re.compile(r"\b(?:(?:the |a )?(?:new |old )?ones?|it|them|those|these|that)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reading:
    """Draft lines, and the remarks in plain sentences with the words they rest on."""

    lines: tuple[DraftLine, ...]
    told: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    item: Item
    passage: Passage
    fit: Fit | None = None
    line: DraftLine | None = None


def read_lines(passages: Iterable[Passage], book: Book = EMPTY) -> Reading:
    """Read all passages. Work named in two of them, alike in every respect, is counted once."""
    found: list[_Found] = []
    noted: list[tuple[Remark, Passage]] = []
    for passage in passages:
        reading = read_passage(passage.text, book, spoken=passage.source == "audio")
        noted += [(remark, passage) for remark in reading.remarks]
        for item in reading.items:
            if _is_unclear(item, passage) and choose(_weighed(item, book, frozenset())) is None:
                noted += [(Remark(remarks.NOT_UNDERSTOOD, span), passage) for span in item.spans]
            else:
                found.append(_Found(item, passage))
    trades = _trades(found, book)
    lines: list[_Found] = []
    for heard in found:
        one, fit = heard, _fit(heard.item, book, trades)
        if fit is None:
            area = replace(heard.item, amounts=feet_as_area(heard.item.amounts))
            fit = _fit(area, book, trades) if area.amounts != heard.item.amounts else None
            one = heard if fit is None or fit.item.unit == EACH else replace(heard, item=area)
        if fit is None and _says_too_little(one.item, book, trades):
            noted += [(Remark(remarks.NOT_UNDERSTOOD, span), one.passage) for span in one.item.spans]
        else:
            _add(lines, replace(one, fit=fit, line=_line(one.item, one.passage, fit, book)))
    return Reading(tuple(one.line for one in lines if one.line), tuple(_told(noted)))


def _trades(found: Sequence[_Found], book: Book) -> frozenset[str]:
    """Return the categories that the lines of the visit are clearly about."""
    return book.trades([_weighed(one.item, book, frozenset()) for one in found])


def _fit(item: Item, book: Book, trades: frozenset[str]) -> Fit | None:
    weighed = _weighed(item, book, trades)
    stated = [f for f in weighed if chosen(item.amounts, f.item.unit, item.clause.words) is not None]
    best = choose(weighed) or choose(stated)
    if best is None and any(a.stated and a.unit == "hour" for a in item.amounts):
        return choose(book.weigh(_LABOR, trades=trades))
    return best


def _says_too_little(item: Item, book: Book, trades: frozenset[str]) -> bool:
    """Whether nothing shows that a clause asks for work: no number, price or verb, and no item that may be meant."""
    numbers = any(a.kind != "label" for a in item.amounts)
    shown = numbers or "new" in item.clause.words or any(map(is_verb, item.clause.words))
    if shown or item.supplied or not book.items:
        return False
    weighed = _weighed(item, book, trades)
    return not weighed or weighed[0].probability < _MAY_BE_MEANT


def _weighed(item: Item, book: Book, trades: frozenset[str]) -> list[Fit]:
    terms = replace(terms_of(_words(item)), sizes=frozenset())

    def as_sold(unit: str) -> Sold | None:
        amount = chosen(item.amounts, unit, item.clause.words)
        only_of: frozenset[Size] = frozenset()
        if amount is None and contradicts(item.amounts, unit):
            otherwise = measured_otherwise(item.amounts, unit)
            if canonical(unit) != EACH or any(a.unit not in _MAY_BE_SIZES for a in otherwise):
                return None
            only_of = frozenset(size for a in otherwise for size in a.sizes)
        sizes = frozenset(size for a in item.amounts if not _is_of(a, amount) for size in a.sizes)
        return Sold(sizes, amount is not None and canonical(unit) != EACH, only_of)

    return book.weigh(terms, as_sold, trades)


def _is_of(amount: Amount, other: Amount | None) -> bool:
    """Whether an amount is the other in another guise (twice a pair)."""
    return other is not None and amount.at == other.at


def _line(item: Item, passage: Passage, fit: Fit | None, book: Book) -> DraftLine:
    amount = chosen(_quantities(item, fit), fit.item.unit if fit else None, item.clause.words)
    unit = canonical(fit.item.unit) if fit and amount else (amount.unit if amount and amount.unit else EACH)
    price, told, doubts = _price_said(item, amount, unit)
    if amount is not None and price is not None and price[1]:
        amount = None
    line = DraftLine(
        description=_description(item, amount),
        named=_named(item, amount, fit),
        category=(fit.item.category.lower() if fit and fit.item.category else category_of(_words(item).split())),
        quantity=amount.value if amount else _ONE,
        unit=unit if amount else EACH,
        price_said=price[0] if price else None,
        evidence=tuple(passage.evidence(span) for span in item.spans),
        assumptions=(*(amount.assumptions if amount else ()), *item.assumptions, *told),
    )
    priced = price is not None
    doubts = (*doubts, *doubts_of(item, amount, fit, book))
    line = line.flagged(
        *(d for d in item.doubts if not (priced and d == UNNAMED)), *doubts, *(amount.doubts if amount else ())
    )
    if amount is None and price is None:
        line = _as_before(line, item, passage, fit) or _counted_as_one(line, item, fit)
    line = _hard_to_hear(line, passage, amount)
    return line.model_copy(update={"confidence": _confidence(item, passage, doubtful=line.needs_review)})


def _quantities(item: Item, fit: Fit | None) -> list[Amount]:
    """Return the amounts of a line without the dimensions that its item is named by: "porcelain 12x24"."""
    sizes = fit.item.terms.sizes if fit else frozenset()
    return [a for a in item.amounts if a.kind != "area" or not a.sizes <= sizes]


def _as_before(line: DraftLine, item: Item, passage: Passage, fit: Fit | None) -> DraftLine | None:
    """Take the measure that was said last for work without one: "floor's 45 square feet, tear out the old tile"."""
    if fit is None or canonical(fit.item.unit) not in LENGTHS | {SQUARE_FEET}:
        return None
    said = read_amounts(tokenise(passage.text[: item.clause.span[0]]))
    amount = chosen([a for a in said if a.kind in {"measure", "area"} and a.grip != "soft"], fit.item.unit)
    if amount is None:
        return None
    span = amount.at, amount.until
    told = f"no quantity was said; taken from “{passage.text[slice(*span)]}” before"
    measured = {"quantity": amount.value, "unit": canonical(fit.item.unit)}
    return line.model_copy(update={**measured, "evidence": (*line.evidence, passage.evidence(span))}).flagged(told)


def _counted_as_one(line: DraftLine, item: Item, fit: Fit | None) -> DraftLine:
    """Take a single thing without a number as one; flag a plural, or a thing sold by measure."""
    head = next((w for w in reversed(_thing_words(item)) if is_content(w)), "")
    plural = singular(head) != head and not head.endswith("ss")
    measured = fit is not None and canonical(fit.item.unit) != EACH and canonical(fit.item.unit) not in PACKAGES
    if plural or measured:
        return line.flagged(NOT_STATED)
    return line.model_copy(update={"assumptions": (*line.assumptions, TAKEN_AS_ONE)})


def _thing_words(item: Item) -> list[str]:
    return re.findall(r"[a-z]+", item.thing.lower())


def _price_said(
    item: Item, amount: Amount | None, unit: str
) -> tuple[tuple[Decimal, bool] | None, tuple[str, ...], tuple[str, ...]]:
    """Return the price for one unit and whether it is for the whole job, the words on it, and the doubts."""
    if remarks.NO_CHARGE.search(item.clause.text):
        return (Decimal(0), False), ("said to be without charge",), ()
    money = [a for a in item.amounts if a.kind == "money"]
    if not money:
        return None, (), ()
    said = " and ".join(f"${a.value:f}" + (f" per {a.unit}" if a.unit else "") for a in money)
    if len(money) > 1:
        return None, (), (f"two prices were said ({said})",)
    (one,) = money
    value = one.value.quantize(_CENT)
    if one.unit is not None or one.grip == "marked":
        fits = one.unit in {None, EACH, unit} or {one.unit, unit} <= {"ft", "lf"} or canonical(one.unit or "") == unit
        fits = fits or amount is None
        return (
            ((value, False), (f"price as said: {said}",), ())
            if fits
            else (None, (), (f"a price by another unit was said ({said})",))
        )
    quantity = amount.value if amount else _ONE
    each = (value / quantity).quantize(_CENT)
    if each * quantity == value:
        return (each, False), (f"price as said: {said} for all",), ()
    return (value, True), (f"price as said: {said} for all",), ()


def _named(item: Item, amount: Amount | None, fit: Fit | None) -> str:
    """Return what the price book is searched for: the words of the item and its sizes."""
    sizes = " ".join(
        item.clause.source[a.at : a.until]
        for a in item.amounts
        if a.sizes and not _is_of(a, amount) and a.kind != "label"
    )
    words = _words(item)
    if fit is not None and fit.item.terms.heads == {_LABOR} and _LABOR not in terms_of(words).words:
        return _LABOR  # "touch up paint, hourly, 3 hrs"
    return f"{words} , {sizes}".strip(" ,")[:_LONGEST]


def _words(item: Item) -> str:
    """Return the words of an item for matching: its clause without numbers, with the thing that "it" stands for."""
    taken = {
        i: a
        for a in read_amounts(item.clause.tokens)
        if a.kind != "label"
        for i in range(a.start, a.unit_at if a.unit in PACKAGES and a.unit_at > 0 else a.end)
    }
    own = [item.clause.verb] if item.clause.verb else []
    named = False
    for i, token in enumerate(item.clause.tokens):
        if i not in taken and token.kind in {"word", "mark"}:
            own.append(token.text)
            named = named or (is_content(token.text) and not is_verb(token.text) and token.text not in ROOMS)
        elif i in taken and token.text in {"(", ")"}:
            own.append(token.text)
        elif i in taken and named and i == taken[i].start and taken[i].stated:
            own.append(",")  # "pex 40 ft laundry": what follows the amount no longer names the thing
    supplied = ["labor only"] if item.supplied else []
    return " ".join([*own, *([item.refers_to.lower()] if item.refers_to else []), *supplied])


def _description(item: Item, amount: Amount | None) -> str:
    """Return the clause in its own words, without its quantity, money and fillers."""
    clause = item.clause
    skipped = set(range(len(clause.tokens) - len(bare(clause.tokens))))
    for one in read_amounts(clause.tokens):
        if one.kind == "money" and clause.tokens[one.start - 1].text in _BEFORE_MONEY:
            skipped.add(one.start - 1)
        if _is_of(one, amount) or one.kind == "money" or (item.corrected and one.stated):
            skipped |= set(range(one.start, one.unit_at if one.unit in PACKAGES and one.unit_at > 0 else one.end))
    pieces = [clause.source[t.start : t.end] if i not in skipped else "\0" for i, t in enumerate(clause.tokens)]
    text = _joined(clause.tokens, pieces, clause.source)
    if item.refers_to:
        refers = item.refers_to[:1].lower() + item.refers_to[1:] if item.refers_to[1:2].islower() else item.refers_to
        text, changed = _PRONOUN.subn(f"the {refers}", text, count=1)
        text = text.strip(" ,")
        first = text.split(" ", 1)[0].lower()
        text = text if changed else f"{item.refers_to} {text}" if first in PREPOSITIONS else f"{text} {item.refers_to}"
    text = _LOOSE_END.sub("", text.strip(_EDGES)).strip(_EDGES)
    if clause.verb and text and not item.refers_to.startswith(clause.verb):
        text = f"{clause.verb} {text[:1].lower() if text[1:2].islower() else text[:1]}{text[1:]}"
    if clause.place and clause.place.lower() not in text.lower():
        text = f"{text}, {clause.place}"
    text = re.sub(r"\s+(?:is|are|it's|gets)\s*(?=,|$)", "", text)
    text = _LEAD.sub("", _PLACE_FIRST.sub(r"\2, \1", text))
    text = text or item.thing or clause.text
    return (text[:1].upper() + text[1:])[:_LONGEST]


def _joined(tokens: Sequence[object], pieces: Sequence[str], source: str) -> str:
    text = ""
    for i, piece in enumerate(pieces):
        gap = source[tokens[i - 1].end : tokens[i].start] if i else ""  # type: ignore[attr-defined]
        text += (" " if gap else "") + piece
    text = re.sub(r"\(\s*\0*\s*\)", " ", text).replace("\0", " ")
    text = re.sub(r"\s+([,;:.)])", r"\1", re.sub(r"\s+", " ", text))
    return re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", text).strip()


def _add(found: list[_Found], new: _Found) -> None:
    for index, known in enumerate(found):
        again = known.passage is not new.passage and _is_same_work(known, new)
        if again or _is_said_again(known, new):
            found[index] = _merged(known, new)
            return
    found.append(new)


def _is_said_again(one: _Found, other: _Found) -> bool:
    """Whether both are the same single item, for which nobody gave a number: "same with the coil, new coil"."""
    uncounted = not _stated(one) and not _stated(other) and one.passage is other.passage
    same = one.fit is not None and other.fit is not None and one.fit.item is other.fit.item
    priced = any(a.kind == "money" for found in (one, other) for a in found.item.amounts)
    return uncounted and same and not priced and _rooms(one) == _rooms(other)


def _is_same_work(one: _Found, other: _Found) -> bool:
    mine, theirs = terms_of(_words(one.item)), terms_of(_words(other.item))
    if one.fit and other.fit and one.fit.item is other.fit.item and _rooms(one) == _rooms(other):
        return True
    nested = set(mine.words) <= set(theirs.words) or set(theirs.words) <= set(mine.words)
    places = _rooms(one) == _rooms(other) or not _rooms(one) or not _rooms(other)
    return bool(mine.words) and nested and mine.heads == theirs.heads and mine.kinds == theirs.kinds and places


def _rooms(one: _Found) -> frozenset[str]:
    return frozenset(word for word in one.item.clause.words if word in ROOMS)


def _merged(known: _Found, new: _Found) -> _Found:
    """Merge a second mention; where the two disagree on the amount, say so and keep the first that was stated."""
    first, second = (known, new) if _stated(known) or not _stated(new) else (new, known)
    assert first.line is not None  # noqa: S101 - found lines have their line
    assert second.line is not None  # noqa: S101
    line = first.line.model_copy(
        update={
            "evidence": (known.line.evidence if known.line else ()) + (new.line.evidence if new.line else ()),
            "assumptions": (*first.line.assumptions, "mentioned twice, counted once"),
        }
    )
    amounts = {(one.line.quantity, one.line.unit) for one in (known, new) if one.line and _stated(one)}
    if len(amounts) > 1:
        said = " and ".join(f"{one.quantity:f} {one.unit}" for one in (first.line, second.line))
        line = line.flagged(f"two mentions give different quantities ({said})")
    return replace(first, line=line)


def _stated(found: _Found) -> bool:
    return any(amount.stated for amount in found.item.amounts)


def _is_unclear(item: Item, passage: Passage) -> bool:
    """Whether a thing no trade knows was only guessed at by the speech engine ("neckboards", 0.65)."""
    words = set(_thing_words(item))
    heard = [
        timed.probability
        for span in item.spans
        for timed in passage.heard(span)
        if passage.text[timed.start : timed.end].strip(".,;:!?…").lower() in words
    ]
    return bool(heard) and category_of(sorted(words)) == GENERAL and fmean(heard) < _HARD_TO_TELL


def _hard_to_hear(line: DraftLine, passage: Passage, amount: Amount | None) -> DraftLine:
    if amount is None:
        return line
    counted = passage.heard((amount.at, amount.at + 1))
    return line.flagged("the quantity was hard to hear") if counted and counted[0].probability < _HARD_TO_HEAR else line


def _confidence(item: Item, passage: Passage, *, doubtful: bool) -> float:
    heard = [timed.probability for span in item.spans for timed in passage.heard(span)]
    sure = fmean(heard) * _SPOKEN if heard else _TYPED
    return round(min(sure, _DOUBTFUL) if doubtful else sure, 3)


def _told(noted: Iterable[tuple[Remark, Passage]]) -> Iterator[str]:
    """Say of every remark how it was understood, in its own words; those of one kind in one sentence."""
    said: dict[str, list[str]] = defaultdict(list)
    for remark, passage in noted:
        start, end = remark.span
        heard = passage.heard(remark.span)
        at = f" (at {heard[0].start_ms // 60000}:{heard[0].start_ms // 1000 % 60:02d})" if heard else ""
        said[remark.kind].append(f"“{' '.join(passage.text[start:end].split())}”{at}")
    for kind, words in remarks.TOLD.items():
        if said[kind]:
            yield f"{words}: {', '.join(said[kind])}"
