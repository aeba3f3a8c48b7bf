"""A price book held for matching: a clear match of a line is one item, well ahead of the next; anything else is none.

An item fits when its naming words stand in the line, its sizes do not contradict the line's, it is the same work
(a removal is never priced as a new roof) and it is sold by the line's unit.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from jobs.kinds.estimate.book.stems import stem
from jobs.kinds.estimate.book.terms import Terms, kind_of_word, place_stems, terms_of
from jobs.kinds.estimate.book.vocabulary import ADJECTIVES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from jobs.kinds.estimate.book.sizes import Size

    AsSold = Callable[[str], "Sold | None"]

# What stands behind the comma of an item, and what a line says of its place, weigh little.
_MODIFIER, _PLACE = 0.3, 0.1
# A word no item has: it may be a maker's name, or the very thing.
_UNKNOWN = 0.55
_SIZE, _SIZE_NOT_SAID, _SIZE_NOT_SOLD = 0.8, 0.35, 0.25
_FITS, _MARGIN, _CLEAR, _NAMED = 0.5, 0.06, 0.6, 0.62
# One word in common decides nothing by itself ("10 openings" is no pool opening); the trade of the visit may.
_ONE_WORD, _TRADE, _BY_TRADE = 0.6, 0.07, 0.52
_FAMILY = 0.3
_DIFFERS, _PART_OF, _OTHER_WORK = 0.6, 0.55, 0.6
# A word that so many items of a category have says only which category it is.
_COMMON, _COMMON_AT_LEAST = 0.2, 3
_POSTINGS = 400  # a word that so many items have finds none by itself


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the book; engines see no price."""

    id: UUID
    description: str
    unit: str
    category: str = ""
    terms: Terms = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", terms_of(self.description))


@dataclass(frozen=True, slots=True)
class Sold:
    """A line as something sold by a unit: the sizes it then has, and whether an amount in that unit was said.

    `only_of`: only an item of one of these sizes is meant, "20 yd dumpster" is no dumpster by itself.
    """

    sizes: frozenset[Size]
    measured: bool = False
    only_of: frozenset[Size] = frozenset()


@dataclass(frozen=True, slots=True)
class Fit:
    """How well an item fits, 0..1.

    `holds`: the item has every word of weight in the line. `complete`: the line has all that names the item. `alike`
    and `unsaid` count sizes. `named` is the share of the item's naming words that was said.
    """

    item: Item
    score: float
    holds: bool = False
    complete: bool = False
    alike: int = 0
    unsaid: int = 0
    named: float = 1.0

    @property
    def clear(self) -> bool:
        """Whether the line needs nobody to look at the match."""
        return self.score >= _CLEAR and self.named >= _NAMED


@dataclass(frozen=True)
class Book:
    """The items of a company's price book."""

    items: Sequence[Item] = ()

    @cached_property
    def _with_word(self) -> dict[str, list[Item]]:
        found: dict[str, list[Item]] = defaultdict(list)
        for item in self.items:
            for word in item.terms.words:
                found[word].append(item)
        return found

    @cached_property
    def _weights(self) -> dict[str, float]:
        counts = Counter(word for item in self.items for word in item.terms.words)
        most = math.log(1 + len(self.items))
        return {word: 0.3 + 0.7 * math.log((1 + len(self.items)) / count) / most for word, count in counts.items()}

    def knows(self, word: str) -> bool:
        """Whether a stem stands in any item."""
        return word in self._with_word

    def rank(self, text: str | Terms, as_sold: AsSold | None = None, trades: frozenset[str] = frozenset()) -> list[Fit]:
        """Return the items that fit, best first.

        `as_sold` describes the line for an item sold by a unit, None where that unit cannot carry its price.
        `trades` are the categories that the rest of the visit is about.
        """
        terms = terms_of(text) if isinstance(text, str) else text
        words = [word for word in terms.words if len(self._with_word.get(word, ())) <= _POSTINGS]
        seen = {id(item): item for word in words for item in self._with_word.get(word, ())}
        known: dict[str, tuple[Terms, Sold] | None] = {}
        fits = []
        for item in seen.values():
            if item.unit not in known:
                sold = as_sold(item.unit) if as_sold else Sold(terms.sizes)
                known[item.unit] = (replace(terms, sizes=sold.sizes), sold) if sold else None
            line = known[item.unit]
            if line is None or (line[1].only_of and not line[1].only_of & item.terms.sizes):
                continue
            if (score := self._score(line[0], item, trades, measured=line[1].measured)) > 0:
                fits.append(replace(_fit(item, score, line[0]), named=self._named(line[0], item, trades)))
        return sorted(fits, key=lambda fit: (-fit.score, len(fit.item.description), str(fit.item.id)))

    def best(self, ranked: Sequence[Fit]) -> Fit | None:
        """Return the one item that is meant; None where it does not fit or another fits alike."""
        if not ranked or ranked[0].score < _FITS:
            return None
        first = ranked[0]
        rivals = [fit for fit in ranked[1:] if _rivals(first, fit)]
        same = all(fit.item.terms == first.item.terms for fit in rivals)
        return first if same else None

    def _score(self, line: Terms, item: Item, trades: frozenset[str], *, measured: bool) -> float:
        theirs = item.terms
        shared = set(line.words) & set(theirs.words)
        if not _same_kind(line, theirs):
            return 0.0
        sizes = _compare(line.sizes, theirs.sizes)
        if sizes is None:
            return 0.0
        alike, not_said, not_sold = sizes
        if not self._names(line, theirs, shared, alike):
            # "Bust out the old one, 12 by 14" among concrete: the one removal of that trade that is sold so.
            by_trade = bool(line.kinds) and measured and item.category in trades and theirs.words[0] in shared
            return _BY_TRADE if by_trade else 0.0
        held = self._sum(theirs, shared) + _SIZE * alike
        of_item = held / (self._sum(theirs, theirs.words) + _SIZE * alike + _SIZE_NOT_SAID * not_said)
        said = self._line_sum(line, shared) + _SIZE * alike
        of_line = said / (self._line_sum(line, line.words) + _SIZE * alike + _SIZE_NOT_SOLD * not_sold)
        score = (of_item + 2 * of_line) / 3 if of_item < of_line else (2 * of_item + of_line) / 3
        named = {word for word in shared if word not in place_stems()} or shared
        if _continues(line, theirs):
            score *= _PART_OF
        if theirs.verb and theirs.verb not in shared and not any(kind_of_word(word) for word in shared):
            score *= _OTHER_WORK
        if len(named) + alike == 1 and theirs.main > 1 and not measured and item.category not in trades:
            score *= _ONE_WORD
        elif (
            not alike
            and self._differ(line, theirs, shared)
            and not (measured and item.category in trades and not sold_widely(item.unit))
        ):
            score *= _DIFFERS
        return score + _TRADE * (item.category in trades)

    def _differ(self, line: Terms, theirs: Terms, shared: set[str]) -> bool:
        """Whether each names its thing by a word that the other lacks: a shutoff valve is no shower valve."""
        if theirs.head not in shared:
            return False
        unsaid = (_compare(line.sizes, theirs.sizes) or (0, 0, 0))[1]
        plain = shared | place_stems() | line.located | _ADJECTIVES | line.verbs
        mine, other = _before(line.words, theirs.head), _before(theirs.words[: theirs.main], theirs.head)
        return (
            bool(mine) and mine not in plain and (unsaid > 0 or (bool(other) and other not in shared | place_stems()))
        )

    @cached_property
    def _common(self) -> set[tuple[str, str]]:
        """The words that only tell an item's category: "pool" among pool work."""
        sizes = Counter(item.category for item in self.items)
        counts = Counter((item.category, word) for item in self.items for word in item.terms.words)
        return {key for key, count in counts.items() if count >= max(_COMMON_AT_LEAST, _COMMON * sizes[key[0]])}

    def _named(self, line: Terms, item: Item, trades: frozenset[str]) -> float:
        """Return the share of the item's naming words that the line says; the visit itself says its trade."""
        main = item.terms.words[: item.terms.main]
        if item.category in trades:
            main = tuple(word for word in main if word in line.words or (item.category, word) not in self._common)
        return sum(map(self._weight, set(main) & set(line.words))) / (sum(map(self._weight, main)) or 1.0)

    def _sum(self, terms: Terms, words: Iterable[str]) -> float:
        main = set(terms.words[: terms.main])
        return sum(self._weight(word) * (1.0 if word in main else _MODIFIER) for word in words)

    def _line_sum(self, line: Terms, words: Iterable[str]) -> float:
        places = place_stems() | line.located | line.verbs
        return sum(self._weight(word) * (_PLACE if word in places else 1.0) for word in words) or 1e-6

    def _weight(self, word: str) -> float:
        return self._weights.get(word, _UNKNOWN)

    def _names(self, line: Terms, theirs: Terms, shared: set[str], alike: int) -> bool:
        """Whether the item's naming words stand in the line; one word that merely occurs in both decides nothing."""
        named = {word for word in shared - line.located if word not in place_stems() or word == theirs.head}
        things = {word for word in named if kind_of_word(word) is None}
        if not named:
            return False
        if theirs.head in shared or line.head in things:
            return bool(things) or len(theirs.words) == len(shared)
        return len(named) + alike > 1


def _before(words: Sequence[str], head: str) -> str:
    """Return the word before the head, which names the kind."""
    index = words.index(head) if head in words else 0
    return words[index - 1] if index else ""


def _continues(line: Terms, item: Terms) -> bool:
    """Whether the item's head only begins a longer name: a toilet seat is no toilet."""
    if item.head not in line.words:
        return False
    following = line.words[line.words.index(item.head) + 1 :][:1]
    word = following[0] if following else ""
    index = line.words.index(item.head) + 1
    plain = word in item.words or word in place_stems() | line.located | line.verbs or kind_of_word(word) is not None
    plain = plain or index >= line.main
    return bool(word) and not plain and word not in _ADJECTIVES


_ADJECTIVES = frozenset(stem(word) for word in ADJECTIVES)


def sold_widely(unit: str) -> bool:
    """Whether a unit is one that most trades sell by, so that it tells nothing of the thing."""
    return unit.lower() in {"each", "ea", "lf", "ft", "sqft", "sq ft", "sf"}


def _fit(item: Item, score: float, line: Terms) -> Fit:
    theirs = item.terms
    places = place_stems() | line.located
    holds = all(word in theirs.words for word in line.words if word not in places)
    alike, unsaid, _ = _compare(line.sizes, theirs.sizes) or (0, 0, 0)
    complete = set(theirs.words[: theirs.main]) <= set(line.words) and not unsaid
    return Fit(item, score, holds, complete, alike, unsaid)


def _rivals(first: Fit, other: Fit) -> bool:
    """Whether the other item may be meant as well: "switch" is no more the 3-way than the dimmer."""
    behind = first.score - other.score
    if first.complete:  # an exact name wins
        return behind < _MARGIN and other.complete and other.alike >= first.alike
    plainer = not first.unsaid and set(first.item.terms.words) < set(other.item.terms.words)
    family = other.holds and other.alike >= first.alike and not plainer
    return behind < (_FAMILY if family else _MARGIN)


def _same_kind(line: Terms, item: Terms) -> bool:
    """Whether both are the same kind of work; "remove and replace" is the price of the new one."""
    if line.supplied_by_others != item.supplied_by_others:
        return False
    mine = line.kinds - {"remove", "repair"} if "replac" in line.words else line.kinds
    return mine == item.kinds


def _compare(line: frozenset[Size], item: frozenset[Size]) -> tuple[int, int, int] | None:
    """Count sizes that agree, that only the item has and that only the line has; None where two contradict."""
    left = set(line)
    alike = 0
    missing = []
    for size in item:
        match = next((one for one in left if _agree(one, size)), None)
        if match is not None:
            left.remove(match)
            alike += 1
        else:
            missing.append(size)
    if any(one[1] and one[1] == other[1] for one in left for other in missing):
        return None
    return alike, len(missing), len(left)


def _agree(one: Size, other: Size) -> bool:
    return one[0] == other[0] and (one[1] == other[1] or not one[1] or not other[1] or "x" in {one[1], other[1]})


EMPTY = Book()
