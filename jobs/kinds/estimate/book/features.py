"""What a line and an item have in common, as numbers: the input of the trained choice between the items of a book."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.kinds.estimate.book.matching import Fit, Head, Lexicon, compare_sizes, same_kind
from jobs.kinds.estimate.book.stems import stem
from jobs.kinds.estimate.book.terms import Terms, kind_of_word, place_stems
from jobs.kinds.estimate.book.vocabulary import ADJECTIVES
from store.estimates.units import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobs.kinds.estimate.book.matching import Item

NAMES = (
    "score",
    "no_fit",
    "sure",
    "item_said",
    "item_said_in_trade",
    "line_explained",
    "words_unsaid",
    "words_foreign",
    "head_same",
    "head_part",
    "head_omitted",
    "item_head_unsaid",
    "shared",
    "only_place_shared",
    "size_alike",
    "size_unsaid",
    "size_unsold",
    "size_contradicts",
    "kind_same",
    "kind_unsaid",
    "kind_foreign",
    "removal_differs",
    "supply_differs",
    "in_trade",
    "other_trade",
    "measured",
    "guessed",
    "chosen",
    "chosen_sure",
    "behind",
    "shares_head_in_trade",
    "other_work",
    "head_foreign",
    "all_explained",
)
NONE_NAMES = ("none", "none_head_unknown", "none_unknown_words", "none_known_words", "none_best_score", "none_chosen")
_PLAIN = frozenset(stem(word) for word in ADJECTIVES)
_MANY = 4
_REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Pair:
    """A line beside an item of the book.

    `line` has the sizes that it has when sold by the item's unit; `fit` is None where the two contradict. `measured`:
    the line has an amount in that unit. `guessed`: an abbreviation of the line was taken for a word of the item.
    """

    line: Terms
    item: Item
    fit: Fit | None
    measured: bool
    guessed: bool


@dataclass(frozen=True, slots=True)
class Context:
    """What the other candidates and lines say: the best score, the item the rules choose, the visit's categories."""

    highest: float
    chosen: Fit | None
    trades: frozenset[str]


def features(pair: Pair, lexicon: Lexicon, context: Context) -> tuple[float, ...]:
    """Return the features of one item for a line, in the order of `NAMES`."""
    line, item, fit, trades = pair.line, pair.item, pair.fit, context.trades
    chosen = context.chosen if context.chosen is not None and context.chosen.item is item else None
    theirs, own = item.terms, core_of(line)
    main = theirs.words[: theirs.main]
    both = set(line.words) & set(theirs.words)
    unit = stem(canonical(item.unit))
    foreign = [word for word in own if word not in theirs.words and word != unit]
    in_trade = item.category in trades
    said = _share(lexicon, (word for word in main if word in both), main)
    sizes = compare_sizes(line.sizes, theirs.sizes)
    head = fit.head if fit else Head.OTHER
    same = Head.SAME if theirs.heads & line.heads else head
    things = {word for word in both if kind_of_word(word) is None}
    values = (
        fit.score if fit else 0.0,
        fit is None,
        fit is not None and fit.sure,
        said,
        said if in_trade else 0.0,
        _share(lexicon, (word for word in own if word in both), own),
        min(sum(1 for word in main if word not in both), _MANY),
        min(sum(map(lexicon.weight, foreign)), _MANY),
        same is Head.SAME,
        head is Head.PART,
        head is Head.OMITTED,
        not theirs.heads & both,
        min(len(things), _MANY),
        bool(both) and both <= line.located | place_stems(),
        min(sizes[0], 2) if sizes else 0,
        sizes is not None and sizes[1] > 0,
        sizes is not None and sizes[2] > 0,
        sizes is None,
        bool(line.kinds) and line.kinds == theirs.kinds,
        bool(theirs.kinds - line.kinds),
        bool(line.kinds - theirs.kinds),
        (_REMOVE in line.kinds) != (_REMOVE in theirs.kinds),
        line.supplied_by_others != theirs.supplied_by_others,
        in_trade,
        bool(trades) and not in_trade,
        pair.measured,
        pair.guessed,
        chosen is not None,
        chosen is not None and chosen.sure,
        context.highest - (fit.score if fit else 0.0),
        in_trade and bool(theirs.heads & both),
        not same_kind(line, theirs),
        bool(line.heads) and not line.heads & set(theirs.words),
        not foreign and len(things) > 0,
    )
    return tuple(map(float, values))


def none_features(line: Terms, lexicon: Lexicon, context: Context) -> tuple[float, ...]:
    """Return the features of "no item is meant", in the order of `NONE_NAMES`."""
    own = core_of(line)
    unknown = sum(1 for word in own if not lexicon.knows(word))
    head_unknown = bool(line.heads) and not any(map(lexicon.knows, line.heads))
    values = (
        1,
        head_unknown,
        min(unknown, _MANY),
        min(len(own) - unknown, _MANY),
        context.highest,
        context.chosen is not None,
    )
    return tuple(map(float, values))


def core_of(line: Terms) -> list[str]:
    """Return the words of a line that name a thing, not its place, look or work."""
    aside = line.located | line.verbs | place_stems() | _PLAIN
    return [word for word in line.words if word not in aside and kind_of_word(word) is None] or list(line.words)


def _share(lexicon: Lexicon, part: Iterable[str], whole: Iterable[str]) -> float:
    total = sum(map(lexicon.weight, whole))
    return sum(map(lexicon.weight, part)) / total if total else 0.0
