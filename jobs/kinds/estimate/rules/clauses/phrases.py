"""Small looks at a stretch of tokens: does it ask for work, name a thing, or only say where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.kinds.estimate.rules.amounts.amount_parser import read_amounts
from jobs.kinds.estimate.rules.words import (
    FILLERS,
    NOUN_TOO,
    PREPOSITIONS,
    ROOMS,
    SIDES,
    is_content,
    is_participle,
    is_verb,
)
from store.estimates.units import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.rules.amounts.amounts import Amount
    from jobs.kinds.estimate.rules.tokens import Token

PLACES = ROOMS | SIDES | {"upstairs", "downstairs"}
# With a number or a letter these name one of several places: "unit B", "zone four".
_NUMBERED = frozenset(
    ["unit", "zone", "suite", "bldg", "building", "apt", "apartment", "station", "bay", "phase", "floor", "room"]
)
PARTICLES = frozenset({"off", "out", "up", "down", "away"})
_OPENING_MARKS = frozenset({"(", "@", "~", "'", '"'})
_DETERMINERS = frozenset(["the", "a", "an", "all", "both", "each", "every", "this", "that", "these", "those", "any"])
_TELLS = frozenset(["is", "are", "was", "were", "looks", "has", "peeling", "chipping", "leaking", "leaks", "missing"])


def bare(tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens without leading bullets and fillers."""
    i = 0
    while i < len(tokens) and _is_filler(tokens[i]) and not _names_a_light(tokens, i):
        i += 1
    return list(tokens[i:])


def words_in(tokens: Sequence[Token]) -> list[str]:
    """Return the words, in lower case."""
    return [token.text for token in tokens if token.kind == "word"]


def content_of(tokens: Sequence[Token]) -> list[str]:
    """Return the words that may name a thing, without those of an amount."""
    taken = {i for amount in read_amounts(tokens) for i in _inside(amount)}
    return [t.text for i, t in enumerate(tokens) if t.kind == "word" and i not in taken and is_content(t.text)]


def text_of(tokens: Sequence[Token]) -> str:
    """Return tokens as text for matching, without the amounts that count."""
    counted = {i for amount in read_amounts(tokens) if _counts(amount) for i in _inside(amount)}
    return " ".join(token.text for i, token in enumerate(tokens) if i not in counted)


def stated_in(tokens: Sequence[Token]) -> list[Amount]:
    """Return the amounts that may be a quantity."""
    return [amount for amount in read_amounts(tokens) if amount.stated]


def begins_with_work(tokens: Sequence[Token]) -> bool:
    """Whether a clause begins with a verb that has an object, or is one by itself."""
    rest = bare(tokens)
    if not rest or not is_verb(rest[0].text):
        return False
    if rest[0].text not in NOUN_TOO or len(rest) == 1:
        return True
    following = rest[1]
    if following.kind in {"mark", "stop", "by"} or is_participle(following.text):
        return False
    if following.kind == "word" and following.text not in _DETERMINERS and any(t.text in _TELLS for t in rest[1:]):
        return False  # "paint color is white", "paint peeling in the hall"
    return following.text not in PREPOSITIONS - PARTICLES


def is_only_place(tokens: Sequence[Token], *, counted: bool = False) -> bool:
    """Whether a stretch only says where: "Hall bath -"; `counted` allows for a number ("2 bedrooms")."""
    named = content_of(tokens) if counted else [word for word in words_in(tokens) if is_content(word)]
    if any(word in _NUMBERED for word in named):
        named = [word for word in named if word not in _NUMBERED and len(word) > 1] or ["room"]
    kinds = {"measure"} if counted else {"measure", "area", "money"}
    return (
        bool(named) and all(word in PLACES for word in named) and not any(a.kind in kinds for a in read_amounts(tokens))
    )


def counts_elsewhere(tokens: Sequence[Token]) -> bool:
    """Whether a stretch only counts the same thing in another place: "two in the bathroom"."""
    counts = [amount for amount in read_amounts(tokens) if amount.kind == "count"]
    named = content_of(tokens)
    if len(counts) != 1 or not named or not all(word in PLACES for word in named):
        return False
    end = counts[0].end
    return end == len(tokens) or tokens[end].text in PREPOSITIONS | {","}


def verb_of(tokens: Sequence[Token]) -> str:
    """Return the verb of work that a clause begins with, with its particle; "" for none."""
    if not begins_with_work(tokens):
        return ""
    first, *rest = bare(tokens)
    return f"{first.text} {rest[0].text}" if rest and rest[0].text in PARTICLES else first.text


def has_verb_of_its_own(tokens: Sequence[Token]) -> bool:
    """Whether a piece of a list itself says the work, or that its thing is new."""
    return any(w == "new" or is_participle(w) or (is_verb(w) and w not in NOUN_TOO) for w in words_in(tokens))


def _names_a_light(tokens: Sequence[Token], i: int) -> bool:
    """Tell "can lights" from "can you"."""
    return tokens[i].text == "can" and i + 1 < len(tokens) and tokens[i + 1].text.startswith("light")


def _is_filler(token: Token) -> bool:
    return token.text in FILLERS or (token.kind == "mark" and token.text not in _OPENING_MARKS)


def _counts(amount: Amount) -> bool:
    return amount.kind in {"count", "area"} or (amount.kind == "measure" and amount.grip == "firm")


def _inside(amount: Amount) -> range:
    return range(amount.start, amount.start if amount.unit in PACKAGES else amount.end)
