"""Compares a line with one item: what both say, what only one says, and whether they are the same thing at all.

The head noun names the thing and must agree; sizes and kinds of work must not contradict. What is left unsaid or
unexplained costs score, and decides whether somebody has to look at the match.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from jobs.kinds.estimate.book.stems import stem
from jobs.kinds.estimate.book.terms import Terms, kind_of_word, place_stems, terms_of
from jobs.kinds.estimate.book.vocabulary import ADJECTIVES
from jobs.kinds.estimate.rules.words import NOUN_TOO
from store.estimates.units import PACKAGES, canonical

if TYPE_CHECKING:
    from uuid import UUID

    from jobs.kinds.estimate.book.sizes import Size

# What stands behind the comma of an item weighs little.
_MODIFIER = 0.3
_SIZE, _SIZE_NOT_SAID, _SIZE_NOT_SOLD = 0.8, 0.35, 0.25
# What a word of the line weighs that the item does not have: another item's word tells things apart, a word
# that no item has may be a maker's name, and what stands behind the thing only says more of it.
_KNOWN, _UNKNOWN, _BEHIND = 1.0, 0.55, 0.3
_FEW, _RARE = 2, 0.85
_OTHER_WORK, _OTHER_TRADE, _OF_SEVERAL, _DIFFER, _OFFERED, _BY_TRADE = 0.6, 0.6, 0.7, 0.6, 0.45, 0.5
# How much of the item must have been said, and of the line be explained, for a match that nobody has to look at.
_SAID, _SAID_IN_TRADE, _EXPLAINED = 0.62, 0.45, 0.6


class Head(IntEnum):
    """How the thing that the line names stands to the item's."""

    OTHER = 0  # neither names the other's thing
    PART = 1  # the line's thing only begins or ends with it: a toilet seat is no toilet
    OMITTED = 2  # the line says "dimmer", the item "dimmer switch"
    SAME = 3


_OF_HEAD = {Head.OTHER: 0.45, Head.PART: 0.55, Head.OMITTED: 0.95, Head.SAME: 1.0}


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the book; engines see no price. The unit's own word ("drywall sheet", by the sheet) names nothing."""

    id: UUID
    description: str
    unit: str
    category: str = ""
    terms: Terms = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", _without_unit(terms_of(self.description), stem(canonical(self.unit))))


def _without_unit(terms: Terms, unit: str) -> Terms:
    """Take the word of the unit for no head: a drywall sheet, sold by the sheet, is drywall."""
    if unit not in terms.heads or terms.main < _FEW:
        return terms
    named = [word for word in terms.words[: terms.main] if word != unit and kind_of_word(word) is None]
    return replace(terms, heads=frozenset(named[-1:])) if named else terms


class Lexicon(Protocol):
    """What the whole book says of a word."""

    def weight(self, word: str) -> float:
        """Return 0.3 (in every item) to 1 (in one)."""
        ...

    def knows(self, word: str) -> bool:
        """Whether an item has it."""
        ...

    def names_a_thing(self, word: str) -> bool:
        """Whether it is the head of an item."""
        ...

    def names_several(self, word: str) -> bool:
        """Whether it is the head of several items."""
        ...

    def works_in_kind(self, category: str) -> str | None:
        """Return the kind of work that most items of a category are."""
        ...

    def tells_the_category(self, item: Item, word: str) -> bool:
        """Whether so many items of the item's category have it that it only says which category that is."""
        ...


@dataclass(frozen=True, slots=True)
class Fit:
    """How well an item fits, 0..1.

    `holds`: the item has every word of weight in the line. `complete`: the line has all that names the item.
    `alike` and `unsaid` count sizes, `shared` what both say. `sure`: nobody needs to look at the match. `in_trade`:
    the rest of the visit is about the item's category. `probability`: that the item is meant, where it was weighed.
    """

    item: Item
    score: float
    head: Head = Head.SAME
    holds: bool = False
    complete: bool = False
    alike: int = 0
    unsaid: int = 0
    shared: int = 1
    sure: bool = True
    in_trade: bool = False
    probability: float = 0.0


def compare(line: Terms, item: Item, lexicon: Lexicon, *, measured: bool, in_trade: bool) -> Fit | None:
    """Return how well the item fits the line; None where they are two kinds of work or of another size.

    `measured`: the line has an amount in the item's unit, which is not just "each".
    """
    sizes = compare_sizes(line.sizes, item.terms.sizes)
    trade_does = lexicon.works_in_kind(item.category) if in_trade and not (line.kinds or line.verb) else None
    if sizes is None or not (same_kind(line, item.terms) or item.terms.kinds == {trade_does}):
        return None
    by_unit = measured and canonical(item.unit) in PACKAGES
    fit = _Comparison(line, item, lexicon, sizes).fit(by_unit=by_unit, in_trade=in_trade, trade_does=trade_does)
    if (fit is None or fit.score < _BY_TRADE) and measured and in_trade and _removes_alike(line, item.terms):
        # "Bust out the old one" among concrete; another thing that the book knows is only offered it.
        named = any(lexicon.knows(word) for word in line.heads if kind_of_word(word) is None)
        return Fit(item, _OFFERED if named else _BY_TRADE, Head.OMITTED, sure=False, in_trade=True)
    return fit


def _removes_alike(line: Terms, item: Terms) -> bool:
    return line.kinds == item.kinds == {"remove"} and line.heads.isdisjoint(item.heads)


class _Comparison:
    """A line beside an item of the same kind of work whose sizes do not contradict."""

    def __init__(self, line: Terms, item: Item, lexicon: Lexicon, sizes: tuple[int, int, int]) -> None:
        self.line, self.item, self.theirs, self.lexicon = line, item, item.terms, lexicon
        self.unit = stem(canonical(item.unit))
        self.alike, self.unsaid_sizes, self.unsold_sizes = sizes
        both = set(line.words) & set(self.theirs.words)
        self.main = set(self.theirs.words[: self.theirs.main])
        self.said, self.extra = both & self.main, both - self.main
        # Words that say where decide nothing, unless they are the thing itself.
        shared = {w for w in both if w not in place_stems() or w in self.theirs.heads}
        self.shared = shared - line.located or shared
        if any(kind_of_word(word) is None for word in shared - line.located):
            self.shared |= shared & self.theirs.heads  # "type X on the ceiling" is a ceiling's
        self.things = {w for w in self.shared if kind_of_word(w) is None}
        if self.theirs.verb in self.shared and lexicon.weight(self.theirs.verb) >= _RARE:
            self.things.add(self.theirs.verb)  # hardly anything else is sealcoated
        self.by_number = any(any(map(str.isdigit, w)) for w in self.shared)  # "R-30"

    def fit(self, *, by_unit: bool, in_trade: bool, trade_does: str | None) -> Fit | None:
        """Weigh what both say against what one of them says alone."""
        self.head = self._head(by_unit=by_unit)
        # In the visit's own trade its kind of work says something: "patch it, three inch" among asphalt.
        works = in_trade and bool(self.line.kinds) and self.line.kinds == self.theirs.kinds
        only_sold_so = self.things <= {self.unit} and not (self.alike and in_trade)
        only_sold_so = only_sold_so and not (by_unit and self.theirs.verb in self.shared)
        evidence = len(self.things) + self.alike
        unsaid = self._unsaid(trade_does, in_trade=in_trade)
        only_sold_so = only_sold_so and not (works and not unsaid and not self.line.heads - self.shared)
        if not self.shared or (only_sold_so and len(self.theirs.words) > len(self.shared)):
            return None
        if self.head is Head.OTHER and evidence + works < _FEW:
            return None
        both = sum(map(self._weight, self.said)) + _MODIFIER * sum(map(self._weight, self.extra)) + _SIZE * self.alike
        foreign = self._foreign()
        lacks = sum(map(self._weight, unsaid)) * (_MODIFIER if self.by_number else 1.0)
        of_item = both / (both + lacks + _SIZE_NOT_SAID * self.unsaid_sizes)
        of_line = both / (both + sum(foreign.values()) + _SIZE_NOT_SOLD * self.unsold_sizes)
        score = (2 * min(of_item, of_line) + max(of_item, of_line)) / 3 * _OF_HEAD[self.head]
        verbs = self.theirs.verb in self.shared or any(map(kind_of_word, self.shared)) or trade_does
        if self.theirs.verb and self.theirs.verb not in _NOUNS and not verbs:
            score *= _OTHER_WORK
        if evidence == 1 and not in_trade and not by_unit and self._lacks_only_its_trade(unsaid):
            score *= _OTHER_TRADE
        elif evidence == 1 and self._is_one_of_several(unsaid, in_trade=in_trade):
            score *= _OF_SEVERAL  # "board" is no more the green one than the fascia's
        differ = any(weight >= _KNOWN or (unsaid and weight >= _UNKNOWN) for weight in foreign.values())
        score *= _DIFFER if differ else 1.0
        complete = not unsaid and not self.unsaid_sizes and self.head is Head.SAME
        enough = evidence >= _FEW or self.head is Head.OMITTED or in_trade
        narrowed = of_item >= (_SAID_IN_TRADE if in_trade else _SAID)
        sure = not any(weight >= _UNKNOWN for weight in foreign.values()) and of_line >= _EXPLAINED
        sure = sure and self.head >= Head.OMITTED and (complete or (enough and narrowed))
        return Fit(
            self.item, min(score, 1.0), self.head, not foreign, complete, self.alike, self.unsaid_sizes,
            evidence, sure, in_trade,
        )  # fmt: skip

    def _weight(self, word: str) -> float:
        return self.lexicon.weight(word)

    def _head(self, *, by_unit: bool) -> Head:
        mine, theirs = self.line.heads, self.theirs.heads
        if mine & theirs:
            return Head.SAME
        if named := theirs & self.shared:
            return Head.PART if all(self._goes_on(head) for head in named) else Head.SAME
        named = mine & (self.main - self.theirs.located)
        # "Gutter" is no gutter guard, as long as something else is a gutter; "LED strip" is an LED strip light.
        several = len(self.things) + self.alike >= _FEW and set(self.line.words) - self.line.located <= set(
            self.theirs.words
        )
        named = named if several or not any(map(self.lexicon.names_a_thing, mine)) else frozenset()
        by_verb = self.theirs.verb in self.things or self.by_number
        if named or by_verb or (by_unit and self.things - {self.unit}):
            return Head.OMITTED
        return Head.OTHER

    def _goes_on(self, head: str) -> bool:
        """Whether the item's thing only begins a longer name in the line: a toilet seat is no toilet."""
        at = self.line.words.index(head) + 1
        word = self.line.words[at] if at < min(len(self.line.words), self.line.main) else ""
        plain = self._is_plain(word) or word in self.line.participles
        return bool(word) and not plain and word not in self.theirs.words

    def _unsaid(self, trade_does: str | None, *, in_trade: bool) -> set[str]:
        """Return what the item has and the line does not, without what the visit's trade says."""
        unsaid = {w for w in self.main - self.said if not trade_does or kind_of_word(w) != trade_does}
        if in_trade:
            told = {w for w in unsaid if self.lexicon.tells_the_category(self.item, w) and not kind_of_word(w)}
            unsaid -= told - self.theirs.heads
        return unsaid

    def _is_one_of_several(self, unsaid: set[str], *, in_trade: bool) -> bool:
        """Whether the line names a thing of which the book has several, and does not say which."""
        lacks = bool(unsaid) or self.unsaid_sizes > 0
        return lacks and not in_trade and any(map(self.lexicon.names_several, self.things))

    def _lacks_only_its_trade(self, unsaid: set[str]) -> bool:
        """Whether the line could be the item if the visit were of its trade: "10 openings" are no pool opening."""
        return (
            bool(unsaid)
            and not unsaid & self.theirs.heads
            and all(self.lexicon.tells_the_category(self.item, word) for word in unsaid)
        )

    def _foreign(self) -> dict[str, float]:
        """Return what the line has and the item does not, each word with what it costs."""
        found: dict[str, float] = {}
        named = (self.theirs.heads & self.shared) or self.line.heads
        last = max((i for i, w in enumerate(self.line.words) if w in named and i < self.line.main), default=0)
        by_verb = self.theirs.verb in self.things or self.by_number
        by_verb = by_verb and not self.line.heads & self.theirs.heads
        for i, word in enumerate(self.line.words):
            if word in self.theirs.words or self._is_plain(word) or word == self.unit:
                continue
            behind = i > last or i >= self.line.main or by_verb
            found[word] = _BEHIND if behind else _KNOWN if self.lexicon.knows(word) else _UNKNOWN
        return found

    def _is_plain(self, word: str) -> bool:
        """Whether a word says where, how it looks or that it is worked on, which tells no items apart."""
        if word in self.line.participles and not self.lexicon.knows(word):
            return True
        return word in place_stems() | self.line.located | self.line.verbs | _PLAIN or kind_of_word(word) is not None


def same_kind(line: Terms, item: Terms) -> bool:
    """Whether both are the same kind of work; "remove and replace" is the price of the new one."""
    if line.supplied_by_others != item.supplied_by_others:
        return False
    if "labor" in item.words and "labor" in line.words:
        return True
    mine = line.kinds - {"remove", "repair"} if "replac" in line.words else line.kinds
    return mine == item.kinds


def compare_sizes(line: frozenset[Size], item: frozenset[Size]) -> tuple[int, int, int] | None:
    """Count sizes that agree, that only the item has and that only the line has; None where two contradict."""
    left = set(line)
    alike = 0
    missing = []
    for unit in {unit for _, unit in item if unit not in {"", "x"}}:
        ends, mine = [one for one in item if one[1] == unit], [one for one in left if one[1] == unit]
        if len(ends) == _FEW and len(mine) == 1 and min(ends) <= mine[0] <= max(ends):  # "12 to 18 inch"
            item, alike = item - set(ends), alike + 1
            left.remove(mine[0])
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


_PLAIN = frozenset(stem(word) for word in ADJECTIVES)
_NOUNS = frozenset(stem(word) for word in NOUN_TOO)
