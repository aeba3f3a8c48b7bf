"""Meets draft lines with the tenant's price book: a clear match is priced and explained, anything else is unpriced.

An item fits when it is sold by the line's unit, is the same kind of work (a removal is never priced as a new roof),
holds nearly all words of the line's thing and its numbers, and is clearly ahead of the next one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.kinds.estimate.model import Match, PricedLine
from jobs.kinds.estimate.rules.lexicon import ROOMS, singular
from jobs.kinds.estimate.rules.phrases import read_phrase
from jobs.kinds.estimate.rules.quantities import read_quantity
from jobs.kinds.estimate.rules.tokens import tokenise
from jobs.kinds.estimate.rules.verbs import read_verb
from store.estimates import price_items
from store.estimates.money import line_amount
from store.estimates.price_items import Candidate, Wanted
from store.estimates.units import compatible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from jobs.kinds.estimate.model import DraftLine
    from store.pool import Connection

# Tuned on the demo book: a plural costs about 0.15 of `covers`, a missing second word about 0.4.
_COVERS_AT_LEAST = 0.7
_MARGIN = 0.1
# Below this the item says much that the line did not ("window" -> "Window double hung vinyl").
_SAYS_MORE = 0.5
_COVERS_WEIGHT = 2 / 3

_KINDS = {
    "replace": "replace replacement install installation reinstall",
    "remove": "remove removal demo demolish demolition tear rip haul strip dispose take",
    "repair": "repair patch fix restore",
    "paint": "paint painting repaint prime primer stain",
    "clean": "clean cleaning wash washing",
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}
NO_MATCH = "no price: nothing in the price book clearly fits"


@dataclass(frozen=True, slots=True)
class _Fit:
    item: Candidate
    score: float


async def price(conn: Connection, tenant_id: UUID, lines: Sequence[DraftLine]) -> list[PricedLine]:
    """Return the lines with price and match, or unpriced with the reason; one query for all of them."""
    asked = [(i, phrase) for i, line in enumerate(lines) for phrase in phrases_of(line.description)]
    wanted = [Wanted(phrase, compatible(lines[i].unit)) for i, phrase in asked]
    found = await price_items.candidates(conn, tenant_id, wanted, covers=_COVERS_AT_LEAST)
    fits: list[list[_Fit]] = [[] for _ in lines]
    for (i, phrase), candidates in zip(asked, found, strict=True):
        fits[i] += _fitting(lines[i], phrase, candidates)
    return [_priced(line, _ranked(fit)) for line, fit in zip(lines, fits, strict=True)]


def phrases_of(description: str) -> list[str]:
    """Return the ways to look a line up: its thing without verb and place, and without the room it is in."""
    tokens = tokenise(description)
    verb = read_verb(tokens, 0)
    starts = {0, verb.end} if verb and verb.unsure else {verb.end if verb else 0}
    counts = {start: read_quantity(tokens, start) for start in starts}  # "Install 3 outlets"
    ends = sorted(count.end if count else start for start, count in counts.items())
    phrases = [phrase for start in ends if (phrase := read_phrase(tokens, start))]
    things = [description[tokens[p.start].start : tokens[p.end - 1].end] for p in phrases] or [description]
    if kind_of(description) == "paint":
        things += [f"paint {thing}" for thing in things if "paint" not in thing.lower()]
    things += [shorter for thing in things if (shorter := _without_room(thing)) and shorter != thing]
    return list(dict.fromkeys(thing for thing in things if _names_a_thing(thing)))


def kind_of(text: str) -> str:
    """Return the kind of work a line or an item is: new work unless its words say otherwise."""
    kinds = {_KIND_OF[word] for word in re.findall(r"[a-z]+", text.lower()) if word in _KIND_OF}
    # "Remove and replace" is the price of the new one.
    return "replace" if "replace" in kinds or not kinds else min(kinds, key=list(_KINDS).index)


def _names_a_thing(phrase: str) -> bool:
    """Whether anything is left besides rooms and kinds of work ("kitchen", "repair")."""
    return any(word.lower() not in _KIND_OF for word in _without_room(phrase).split())


def _without_room(thing: str) -> str:
    return " ".join(word for word in thing.split() if singular(word.lower()) not in ROOMS)


def _fitting(line: DraftLine, phrase: str, candidates: Iterable[Candidate]) -> list[_Fit]:
    kind, numbers = kind_of(line.description), _numbers(phrase)
    return [
        _Fit(item, _COVERS_WEIGHT * item.covers + (1 - _COVERS_WEIGHT) * item.contained)
        for item in candidates
        if item.covers >= _COVERS_AT_LEAST
        and kind_of(item.description) == kind
        and numbers <= _numbers(item.description)
    ]


def _numbers(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\d+", text))


def _ranked(fits: Iterable[_Fit]) -> list[_Fit]:
    """Best first, each item once with its best score."""
    best: dict[UUID, _Fit] = {}
    for fit in fits:
        if fit.item.id not in best or best[fit.item.id].score < fit.score:
            best[fit.item.id] = fit
    return sorted(best.values(), key=lambda fit: (-fit.score, fit.item.id))


def _priced(line: DraftLine, ranked: Sequence[_Fit]) -> PricedLine:
    if not ranked:
        return _unpriced(line, NO_MATCH)
    first, second = ranked[0], ranked[1] if len(ranked) > 1 else None
    if second and first.score - second.score < _MARGIN:
        return _unpriced(line, f"no price: “{first.item.description}” and “{second.item.description}” fit alike")
    if first.item.contained < _SAYS_MORE:
        line = line.flagged(f"priced as “{first.item.description}”")
    match = Match(
        name=first.item.description,
        score=round(first.score, 3),
        runner_up=second.item.description if second else None,
        runner_up_score=round(second.score, 3) if second else None,
    )
    # The contractor's own book knows the trade better than a list of words.
    trade = {"category": first.item.category.lower()} if first.item.category else {}
    return PricedLine(
        **{**dict(line), **trade},
        price_item_id=first.item.id,
        unit_price=first.item.unit_price,
        amount=line_amount(line.quantity, first.item.unit_price),
        match=match,
    )


def _unpriced(line: DraftLine, reason: str) -> PricedLine:
    return PricedLine(**dict(line.flagged(reason)))
