"""From passages to draft lines: the front door of the rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import fmean
from typing import TYPE_CHECKING

from jobs.kinds.estimate.model import DraftLine
from jobs.kinds.estimate.rules.categories import GENERAL, category_of
from jobs.kinds.estimate.rules.conversation import Item, same_thing, understand
from jobs.kinds.estimate.rules.lexicon import singular
from jobs.kinds.estimate.rules.quantities import NOT_STATED, is_stated
from store.estimates.units import EACH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobs.kinds.estimate.rules.passages import Passage

_ONE = Decimal(1)
_TYPED = 0.9
_SPOKEN = 0.95  # of the speech engine's own certainty
_DOUBTFUL = 0.5
# Below this the speech engine was guessing; a guessed number must be seen by somebody. Not higher: "two" and "2"
# share what certainty there is.
_HARD_TO_HEAR = 0.3
# A thing that no trade knows must be heard better than this; the words of the trades may be mumbled.
_HARD_TO_TELL = 0.7
_MARKS = ".,;:!?…"
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Reading:
    """Draft lines, and the requests that could not be tied to a thing, in their own words."""

    lines: tuple[DraftLine, ...]
    unread: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    item: Item
    passage: Passage
    line: DraftLine


def read_lines(passages: Iterable[Passage]) -> Reading:
    """Read all passages. What is said in two of them, alike in every respect, is counted once."""
    found: list[_Found] = []
    unread: list[str] = []
    for passage in passages:
        understood = understand(passage.text, spoken=passage.source == "audio")
        said = (passage.text[start:end] for start, end in understood.unread)
        unread += [words for words in said if " " in words]  # a lone verb tells nobody anything
        for item in understood.items:
            if _is_unclear(item, passage):
                unread += [passage.text[start:end] for start, end in item.ask.spans]
                continue
            _add(found, _Found(item, passage, _line(item, passage)))
    return Reading(tuple(one.line for one in found), tuple(unread))


def _is_unclear(item: Item, passage: Passage) -> bool:
    """Whether a thing no trade knows was only guessed at by the speech engine ("neckboards", 0.65)."""
    words = item.ask.words
    heard = [
        timed.probability
        for span in item.ask.spans
        for timed in passage.heard(span)
        if singular(passage.text[timed.start : timed.end].strip(_MARKS).lower()) in words
    ]
    return bool(heard) and category_of(words) == GENERAL and fmean(heard) < _HARD_TO_TELL


def _add(found: list[_Found], new: _Found) -> None:
    for index, known in enumerate(found):
        if known.passage is not new.passage and _is_same_work(known.item, new.item):
            found[index] = _joined(known, new)
            return
    found.append(new)


def _is_same_work(one: Item, other: Item) -> bool:
    mine, theirs = one.ask, other.ask
    verbs_agree = mine.verb == theirs.verb or not mine.verb or not theirs.verb
    places_agree = mine.place.lower() == theirs.place.lower() or not mine.place or not theirs.place
    return same_thing(mine.words, theirs.words) and verbs_agree and places_agree


def _joined(known: _Found, new: _Found) -> _Found:
    """Merge a second mention; where the two disagree on the amount, say so and keep the first that was stated."""
    first, second = (known, new) if _stated(known.item) or not _stated(new.item) else (new, known)
    evidence = known.line.evidence + new.line.evidence
    line = first.line.model_copy(
        update={
            "evidence": evidence,
            "assumptions": (*first.line.assumptions, "mentioned twice, counted once"),
        }
    )
    amounts = {(found.line.quantity, found.line.unit) for found in (known, new) if _stated(found.item)}
    if len(amounts) > 1:
        said = " and ".join(f"{found.line.quantity:f} {found.line.unit}" for found in (first, second))
        line = line.flagged(f"two mentions give different quantities ({said})")
    return replace(first, line=line)


def _stated(item: Item) -> bool:
    return is_stated(item.ask.quantity)


def _line(item: Item, passage: Passage) -> DraftLine:
    ask, quantity = item.ask, item.ask.quantity
    line = DraftLine(
        description=_description(item),
        category=category_of(ask.words),
        quantity=quantity.value if quantity else _ONE,
        unit=(quantity.unit if quantity else None) or EACH,
        evidence=tuple(passage.evidence(span) for span in ask.spans),
        assumptions=(*(quantity.assumptions if quantity else ()), *item.assumptions),
    )
    line = line.flagged(*_doubts(item, passage))
    return line.model_copy(update={"confidence": _confidence(item, passage, doubtful=line.needs_review)})


def _description(item: Item) -> str:
    ask = item.ask
    capital = ask.verb and ask.what[:1].isupper() and ask.what[1:2].islower()
    what = ask.what[:1].lower() + ask.what[1:] if capital else ask.what
    text = " ".join(part for part in (ask.verb, what, ask.place) if part)
    return (text[:1].upper() + text[1:])[:_LONGEST]


def _doubts(item: Item, passage: Passage) -> tuple[str, ...]:
    quantity = item.ask.quantity
    doubts = list(item.doubts)
    if quantity is None or (not quantity.stated and not quantity.doubts):
        doubts.append(NOT_STATED)
    if quantity is not None:
        doubts += quantity.doubts
    counted = passage.heard(item.ask.counted) if item.ask.counted else ()
    if counted and _stated(item) and counted[0].probability < _HARD_TO_HEAR:
        doubts.append("the quantity was hard to hear")
    return tuple(doubts)


def _confidence(item: Item, passage: Passage, *, doubtful: bool) -> float:
    heard = [timed.probability for span in item.ask.spans for timed in passage.heard(span)]
    sure = fmean(heard) * _SPOKEN if heard else _TYPED
    return round(min(sure, _DOUBTFUL) if doubtful else sure, 3)
