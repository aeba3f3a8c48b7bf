"""Noun phrases and places: "20 amp breakers" "in the kitchen"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.kinds.estimate.rules import lexicon
from jobs.kinds.estimate.rules.quantities import read_amount
from jobs.kinds.estimate.rules.units import NEVER_A_COUNT
from store.estimates.units import canonical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.rules.tokens import Token

_LONGEST_PHRASE = 9
_LONGEST_PLACE = 12
_JOINERS = frozenset({"-", "/", '"', "'", "&"})
_MONEY = ("$", "€", "£", "#")
_ENDS = (
    lexicon.PREPOSITIONS
    | lexicon.RELATIVES
    | lexicon.FINITE
    | lexicon.MODALS
    | lexicon.ADVERBS
    | lexicon.PRONOUNS
    | lexicon.SUBJECTS
    | lexicon.NEGATIONS
    | lexicon.CORRECTING
    | lexicon.ARTICLES
    | lexicon.DETERMINERS
    | frozenset({"to", "or", "but", "by", "us", "me", "him", "then", "plus", "+", "make"})
)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun phrase between two token indexes; `words` are its lower-case words, folded to singular."""

    start: int
    end: int
    words: tuple[str, ...]

    @property
    def head(self) -> str:
        """The last word, which names the thing."""
        return self.words[-1]

    @property
    def is_an_item(self) -> bool:
        """False for money, instructions and other words that are no work on a site."""
        rest = [word for word in self.words if word not in lexicon.VAGUE | lexicon.META]
        return self.head not in _META_SINGULAR and bool(rest) and self.head not in NEVER_A_COUNT


_META_SINGULAR = frozenset(lexicon.singular(word) for word in lexicon.META)


def read_phrase(tokens: Sequence[Token], i: int, *, stop_words: frozenset[str] = frozenset()) -> Phrase | None:
    """Read a noun phrase at `i`, ending before anything that cannot belong to one."""
    end = i
    while end < len(tokens) and end - i < _LONGEST_PHRASE and _belongs(tokens, i, end, stop_words):
        end += 1
    while end > i and tokens[end - 1].text in _JOINERS | {"of", "and", ","}:
        end -= 1
    words = tuple(lexicon.singular(t.text) for t in tokens[i:end] if t.kind == "word" and t.text not in {"of", "and"})
    return Phrase(i, end, words) if words else None


def read_place(tokens: Sequence[Token], i: int) -> int:
    """Return the index after "in the kitchen on the north side" at `i`; `i` itself when there is no place."""
    end = i
    while (after := _preposition_phrase(tokens, end)) > end:
        end = after
    return end


def is_plural(tokens: Sequence[Token], phrase: Phrase) -> bool:
    """Whether the phrase's last word is a plural."""
    last = tokens[phrase.end - 1].text
    return lexicon.singular(last) != last


def _belongs(tokens: Sequence[Token], start: int, i: int, stop_words: frozenset[str]) -> bool:
    token = tokens[i]
    if token.kind == "word":
        return _word_belongs(tokens, start, i, stop_words)
    after_by = i > start and tokens[i - 1].kind == "by"
    if token.kind == "number":
        return after_by or _sizes_something(tokens, i)
    if token.kind == "by":
        return i > start and tokens[i - 1].kind == "number"
    return token.text in _JOINERS and (i > start or token.text == '"')


def _word_belongs(tokens: Sequence[Token], start: int, i: int, stop_words: frozenset[str]) -> bool:
    word = tokens[i].text
    following = tokens[i + 1] if i + 1 < len(tokens) else None
    if word == "can" and following and following.text in {"light", "lights"}:
        return True
    if word in stop_words | _ENDS or word.startswith(_MONEY) or word.endswith("%"):
        return False
    if word == "and":
        return i > start and _joins_bare_noun(tokens, i + 1)
    if word == "of":
        return i > start and following is not None and following.kind == "word"
    return True


def _sizes_something(tokens: Sequence[Token], i: int) -> bool:
    """Whether a number inside the phrase describes it ("20 amp", "2x4"), rather than starting the next item."""
    amount = read_amount(tokens, i)
    return amount is None and i + 1 < len(tokens)


def _joins_bare_noun(tokens: Sequence[Token], i: int) -> bool:
    """Whether "and" joins two nouns of one item ("walls and ceiling") and does not start the next request."""
    if i >= len(tokens) or tokens[i].kind != "word":
        return False
    word = tokens[i].text
    starts_anew = lexicon.BASE.keys() | lexicon.GERUND.keys() | lexicon.VAGUE | _ENDS | lexicon.FILLERS
    return word not in starts_anew and word not in {"new", "another"} and read_amount(tokens, i) is None


def _preposition_phrase(tokens: Sequence[Token], i: int) -> int:
    """Return the index after one preposition and what it governs; `i` when it is no place (money, time)."""
    if i >= len(tokens) or tokens[i].text not in lexicon.PREPOSITIONS or _is_infinitive(tokens, i):
        return i
    end = i + 1
    while end < len(tokens) and end - i < _LONGEST_PLACE and _in_place(tokens, end):
        end += 1
    governed = tokens[i + 1 : end]
    return end if governed and not any(_spoils_a_place(token) for token in governed) else i


def _is_infinitive(tokens: Sequence[Token], i: int) -> bool:
    """Tell "outlets to replace" from "pipe to the meter"."""
    if tokens[i].text != "to" or i + 1 >= len(tokens):
        return False
    return tokens[i + 1].text in lexicon.BASE.keys() | {"be", "get"}


def _in_place(tokens: Sequence[Token], i: int) -> bool:
    token = tokens[i]
    if token.kind == "word":
        joined = token.text == "and" and _joins_bare_noun(tokens, i + 1)
        plain = token.text not in _ENDS and token.text not in lexicon.CONJUNCTIONS
        return joined or plain or token.text in lexicon.DETERMINERS - {"that"} | lexicon.ARTICLES
    return token.kind in {"number", "by"} or token.text in {"-", "/", "'"}


def _spoils_a_place(token: Token) -> bool:
    """Money, shares, times and talk of the estimate are no place."""
    priced = token.text.startswith(_MONEY) or token.text.endswith("%")
    timed = token.text in NEVER_A_COUNT - {"second", "story", "stories"} or canonical(token.text) in {"hour", "day"}
    return priced or timed or (token.text in lexicon.META and token.text not in {"line", "lines", "work"})
