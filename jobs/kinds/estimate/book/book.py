"""A price book held for matching: a clear match of a line is one item, well ahead of the next; anything else is none.

An item fits when its naming words stand in the line, its sizes do not contradict the line's, it is the same work
(a removal is never priced as a new roof) and it is sold by the line's unit.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable  # noqa: TC003 - part of an alias
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from jobs.kinds.estimate.book.abbreviations import abbreviates, parts_of
from jobs.kinds.estimate.book.choice import probabilities
from jobs.kinds.estimate.book.features import Context, Pair, features, none_features
from jobs.kinds.estimate.book.matching import Fit, Head, Item, compare
from jobs.kinds.estimate.book.stems import stem
from jobs.kinds.estimate.book.terms import Terms, broader_stems, kind_of_word, place_stems, terms_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jobs.kinds.estimate.book.sizes import Size

AsSold: TypeAlias = "Callable[[str], Sold | None]"

__all__ = ["EMPTY", "AsSold", "Book", "Fit", "Item", "Sold", "choose"]

_FITS, _MARGIN, _FAMILY, _IN_TRADE, _GUESSED = 0.5, 0.06, 0.3, 0.07, 0.8
_UNKNOWN = 0.55
# An item as probable as this is the line's price, with a flag; from the second on without one.
_PROBABLE, _CERTAIN = 0.3, 0.9
_AHEAD = 1.5  # times as probable as the next: of two that fit alike none is taken
_TELLS_TRADE = 0.6
# A word that so many items of a category have says only which category it is.
_COMMON, _COMMON_AT_LEAST = 0.2, 3
_MOSTLY = 0.5
_POSTINGS = 400  # a word that so many items have finds none by itself


@dataclass(frozen=True, slots=True)
class Sold:
    """A line as something sold by a unit: the sizes it then has, and whether an amount in that unit was said.

    `only_of`: only an item of one of these sizes is meant, "20 yd dumpster" is no dumpster by itself.
    """

    sizes: frozenset[Size]
    measured: bool = False
    only_of: frozenset[Size] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidates:
    """The items that a line may mean, with the features of each, and those of the answer that it means none."""

    pairs: Sequence[Pair]
    features: Sequence[tuple[float, ...]]
    none: tuple[float, ...]


@dataclass(frozen=True)
class Book:
    """The items of a company's price book."""

    items: Sequence[Item] = ()

    def rank(self, text: str | Terms, as_sold: AsSold | None = None, trades: frozenset[str] = frozenset()) -> list[Fit]:
        """Return the items that fit, best first.

        `as_sold` describes the line for an item sold by a unit, None where that unit cannot carry its price.
        `trades` are the categories that the rest of the visit is about.
        """
        terms = self._understood(terms_of(text) if isinstance(text, str) else text)
        return _fits(self._pairs(terms, as_sold, trades))

    def weigh(
        self, text: str | Terms, as_sold: AsSold | None = None, trades: frozenset[str] = frozenset()
    ) -> list[Fit]:
        """Return the items that may be meant with their probabilities, the likeliest first."""
        found = self.candidates(text, as_sold, trades)
        weighed = [
            replace(pair.fit or Fit(pair.item, 0.0, Head.OTHER, sure=False), probability=probability)
            for pair, probability in zip(found.pairs, probabilities(found.features, found.none), strict=True)
        ]
        return sorted(weighed, key=lambda fit: (-fit.probability, *_best_first(fit)))

    def candidates(self, text: str | Terms, as_sold: AsSold | None, trades: frozenset[str]) -> Candidates:
        """Return the items that share a word with a line and are sold by a unit that can carry its price."""
        terms = self._understood(terms_of(text) if isinstance(text, str) else text)
        pairs = self._pairs(terms, as_sold, trades)
        ranked = _fits(pairs)
        context = Context(ranked[0].score if ranked else 0.0, self.best(ranked), trades)
        return Candidates(pairs, [features(pair, self, context) for pair in pairs], none_features(terms, self, context))

    def _pairs(self, terms: Terms, as_sold: AsSold | None, trades: frozenset[str]) -> list[Pair]:
        unknown = (word for word in terms.words if not self.knows(word) and word not in place_stems())
        meant = {word: self._meant(word) for word in unknown}
        meant |= {word: frozenset({f"{word}board"}) for word in terms.words if self.knows(f"{word}board")}
        words = {*terms.words, *(other for others in meant.values() for other in others)}
        found = [self._with_word.get(word, []) for word in words]
        seen = {id(item): item for items in found if len(items) <= _POSTINGS for item in items}
        known: dict[str, tuple[Terms, Sold] | None] = {}
        pairs = []
        for item in seen.values():
            if item.unit not in known:
                sold = as_sold(item.unit) if as_sold else Sold(terms.sizes)
                known[item.unit] = (replace(terms, sizes=sold.sizes), sold) if sold else None
            line = known[item.unit]
            if line is not None and (not line[1].only_of or line[1].only_of & item.terms.sizes):
                spelled = _spelled_out(line[0], item, meant)
                guessed = spelled is not line[0]
                fit = self._fit(spelled, item, line[1], in_trade=item.category in trades, guessed=guessed)
                pairs.append(Pair(spelled, item, fit, line[1].measured, guessed))
        return pairs

    def _fit(self, line: Terms, item: Item, sold: Sold, *, in_trade: bool, guessed: bool) -> Fit | None:
        fit = compare(line, item, self, measured=sold.measured, in_trade=in_trade)
        if fit is None:
            return None
        alone = guessed and fit.shared <= 1  # by an abbreviation alone
        score = fit.score * (_GUESSED if alone else 1) + _IN_TRADE * in_trade
        return replace(fit, score=score, sure=fit.sure and not alone)

    def best(self, ranked: Sequence[Fit]) -> Fit | None:
        """Return the one item that is meant; None where it does not fit or another fits alike."""
        if not ranked or ranked[0].score < _FITS:
            return None
        first = next((fit for fit in ranked if fit.in_trade and _comes_near(fit, ranked[0])), ranked[0])
        rivals = [fit for fit in ranked if fit is not first and _rivals(first, fit)]
        same = all(fit.item.terms == first.item.terms for fit in rivals)
        return first if same else None

    def trades(self, weighed: Iterable[Sequence[Fit]]) -> frozenset[str]:
        """Return the categories that lines are probably about, by what `weigh` gave for each without knowing them."""
        likely = [fits[0] for fits in weighed if fits and fits[0].probability >= _TELLS_TRADE]
        return frozenset(fit.item.category for fit in likely if fit.item.category)

    def weight(self, word: str) -> float:
        """Return how much a word tells: 0.3 when it stands in every item, 1 in one."""
        return self._weights.get(word, _UNKNOWN)

    def knows(self, word: str) -> bool:
        """Whether a stem stands in any item."""
        return word in self._with_word

    def names_a_thing(self, word: str) -> bool:
        """Whether a stem is the head of an item."""
        return word in self._heads

    def names_several(self, word: str) -> bool:
        """Whether a stem is the head of items that say different things of it."""
        return self._heads.get(word, 0) > 1

    def tells_the_category(self, item: Item, word: str) -> bool:
        """Whether a stem only says which category an item is of: "pool" among pool work."""
        return (item.category, word) in self._common or word in terms_of(item.category).words

    def works_in_kind(self, category: str) -> str | None:
        """Return the kind of work that most items of a category are: painters paint."""
        return self._kinds.get(category)

    def _understood(self, terms: Terms) -> Terms:
        """Cut compounds that the book writes in two words: "floodlight", "lineset"."""
        cut = {word: parts for word in terms.words if not self.knows(word) and (parts := self._known_as(word))}
        if not cut:
            return terms
        words = tuple(part for word in terms.words for part in cut.get(word, (word,)))
        more = sum(len(cut[word]) - 1 for word in terms.words[: terms.main] if word in cut)
        heads = frozenset(cut.get(word, (word,))[-1] for word in terms.heads)
        return replace(terms, words=words, main=terms.main + more, heads=heads)

    def _known_as(self, word: str) -> tuple[str, ...] | None:
        """Return the book's words for one that it does not have: the parts of a compound, or what it is a kind of."""
        broader = tuple(part for part in broader_stems().get(word, ()) if self.knows(part))
        return broader or self._parts(word)

    def _parts(self, word: str) -> tuple[str, ...] | None:
        parts = parts_of(word, self._spellings)
        return tuple(stem(part) for part in parts if self.knows(stem(part))) if parts else None

    def _meant(self, word: str) -> frozenset[str]:
        """Return the words of the book that an unknown one may abbreviate."""
        if word not in self._abbreviated:
            self._abbreviated[word] = frozenset(
                known
                for known in self._with_word
                if abbreviates(word, known) or abbreviates(word.removesuffix("s"), known)
            )
        return self._abbreviated[word]

    @cached_property
    def _abbreviated(self) -> dict[str, frozenset[str]]:
        return {}

    @cached_property
    def _spellings(self) -> frozenset[str]:
        return frozenset(re.findall(r"[a-z]+", " ".join(item.description.lower() for item in self.items)))

    @cached_property
    def _kinds(self) -> dict[str, str]:
        sizes = Counter(item.category for item in self.items)
        counts = Counter((item.category, kind) for item in self.items for kind in item.terms.kinds)
        return {category: kind for (category, kind), n in counts.items() if n > sizes[category] * _MOSTLY}

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

    @cached_property
    def _heads(self) -> Counter[str]:
        return Counter(head for words, heads in {(i.terms.words, i.terms.heads) for i in self.items} for head in heads)

    @cached_property
    def _common(self) -> frozenset[tuple[str, str]]:
        sizes = Counter(item.category for item in self.items)
        counts = Counter((item.category, word) for item in self.items for word in item.terms.words)
        return frozenset(key for key, n in counts.items() if n >= max(_COMMON_AT_LEAST, _COMMON * sizes[key[0]]))


def _spelled_out(line: Terms, item: Item, meant: Mapping[str, frozenset[str]]) -> Terms:
    """Return the line with the item's words for those that may abbreviate them."""
    theirs = set(item.terms.words)
    out = {word: next(iter(sorted(others & theirs))) for word, others in meant.items() if others & theirs}
    if not out:
        return line
    return replace(
        line,
        words=tuple(dict.fromkeys(out.get(word, word) for word in line.words)),
        heads=frozenset(out.get(word, word) for word in line.heads),
        located=frozenset(out.get(word, word) for word in line.located),
        kinds=line.kinds | {kind for word in out.values() if (kind := kind_of_word(word)) is not None},
    )


def choose(weighed: Sequence[Fit]) -> Fit | None:
    """Return the item that is probably meant; it is sure where nobody needs to look at it, None where all are unlikely.

    `weighed`: what `Book.weigh` gave.
    """
    if not weighed or weighed[0].probability < _PROBABLE:
        return None
    if weighed[1:] and weighed[0].probability < _AHEAD * weighed[1].probability:
        return None
    return replace(weighed[0], sure=weighed[0].probability >= _CERTAIN)


def _fits(pairs: Sequence[Pair]) -> list[Fit]:
    return sorted((pair.fit for pair in pairs if pair.fit is not None), key=_best_first)


def _best_first(fit: Fit) -> tuple[float, int, str]:
    return -fit.score, len(fit.item.description), str(fit.item.id)


def _comes_near(fit: Fit, first: Fit) -> bool:
    """Whether a fit of the visit's own trade is meant rather than a somewhat better one of another."""
    return fit.score >= _FITS and first.score - fit.score < _FAMILY and not (first.complete and not fit.complete)


def _rivals(first: Fit, other: Fit) -> bool:
    """Whether the other item may be meant as well: "switch" is no more the 3-way than the dimmer."""
    behind = first.score - other.score
    if first.in_trade and not other.in_trade and not other.complete:
        return False
    if first.complete:  # an exact name wins
        return behind < _MARGIN and other.complete and other.alike >= first.alike
    plainer = not first.unsaid and set(first.item.terms.words) < set(other.item.terms.words)
    family = other.holds and other.alike >= first.alike and not plainer
    return behind < (_FAMILY if family else _MARGIN)


EMPTY = Book()
