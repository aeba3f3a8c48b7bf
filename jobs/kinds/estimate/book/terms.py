"""A description in the terms that matching compares: stems of its words, its sizes, its kind of work."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from jobs.kinds.estimate.book.sizes import read_size
from jobs.kinds.estimate.book.stems import singular, stem
from jobs.kinds.estimate.book.vocabulary import (
    ADJECTIVES,
    BROADER,
    FLUFF,
    KINDS,
    LABOR_ONLY,
    MEANINGS,
    PLACES,
    PLAIN_VERBS,
)
from jobs.kinds.estimate.rules.amounts.numbers import read_number
from jobs.kinds.estimate.rules.tokens import tokenise
from jobs.kinds.estimate.rules.words import NOUN_TOO, is_verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.book.sizes import Size
    from jobs.kinds.estimate.rules.tokens import Token

_LONGEST_MEANING, _SHORTEST_PARTICIPLE = 3, 5
# Their number is part of the name: "R-38", "cat 6".
_NAMED_BY_NUMBER = {"r": "r", "cat": "cat", "category": "cat", "merv": "merv", "sch": "sch", "schedule": "sch"}
_SPELLED = (("b t u", "btu"), ("l e d", "led"), ("p v c", "pvc"), ("g f c i", "gfci"), ("l v p", "lvp"))
# "Not painted", "without windows" is what a thing is not; "no" before a number is "number".
_NEGATED = re.compile(
    r"\b(?:not|no(?!\s*\d)|without|except|excluding|w/o|(?:instead|rather) (?:of|than)(?: the| a| an)?)\s+[\w-]+",
    re.IGNORECASE,
)


# What is pulled from a wall or a floor comes away; a wire and a permit do not.
_PULLED = re.compile(
    r"\bpull (?:the |up |out |old )*"
    r"((?:\w+ ){0,4}(?:baseboards?|carpet|pad|trim|flooring|laminate|toilet|vanity|cabinets?)\b)"
)
_PREFIXED = re.compile(r"\bre-(?=[a-z])")
_POSSESSIVE = re.compile(r"(?<=[a-z])['\u2019]s\b")
# "Take the dead oak down": the verb and its particle stand apart.
_PARTED = re.compile(r"\b(take|tear|rip|pull|bust|knock|break|cut)\b([^,.;:]{0,60}?)\b(?:down|out|up|off|away)\b")
_WHERE = frozenset(
    [
        "over",
        "under",
        "in",
        "at",
        "near",
        "behind",
        "above",
        "below",
        "beside",
        "by",
        "along",
        "around",
        "inside",
        "underneath",
        "beneath",
        "on",
        "for",
        "with",
        "w/",
        "after",
        "before",
        "until",
        "off",
        "from",
        "into",
        "where",
        "to",
        "if",
        "unless",
        "when",
        "while",
        "since",
        "because",
    ]
)
# They may say where before anything is named: "by the gate they want a flood light".
_LEADS = frozenset({"at", "by", "near", "behind", "under", "over", "above", "below", "along", "inside", "in", "on"})
_JOINS = frozenset({"and", "or", "&", "/", "+"})
# At the front of a line these only carry their object: "run a footing", "pull a permit".
_LIGHT_VERBS = frozenset({"run", "pull", "do", "make", "build", "put"})
# At the front they take away: "strip the roof"; "starter strip" and "flood light" are things.
_REMOVING = frozenset({"strip", "gut"})
_WE = frozenset({"they", "we", "i", "he", "she", "you", "there's"})
_AWAY = frozenset({"off", "out"})
_PASSIVE = frozenset({"gets", "get", "got", "be", "being", "is", "are", "needs", "need", "and"})


@dataclass(frozen=True, slots=True)
class Terms:
    """`words` are stems in their order, `main` how many of them stand before the first comma.

    `heads` name the thing: the last word of the main part, and those before an "and". `located` only say where or
    what for, `verbs` are those of any work, `verb` is a particular one that the text begins with.
    """

    words: tuple[str, ...]
    main: int
    sizes: frozenset[Size]
    kinds: frozenset[str]
    heads: frozenset[str]
    located: frozenset[str]
    participles: frozenset[str]
    verbs: frozenset[str]
    verb: str
    supplied_by_others: bool


@cache
def place_stems() -> frozenset[str]:
    """Return the stems of words that only say where."""
    return frozenset(stem(word) for word in PLACES)


@cache
def broader_stems() -> dict[str, tuple[str, ...]]:
    """Return the stems of what a thing is a kind of, by its own stem; a name of several words is one of them."""
    return {_joined(name): tuple(stem(word) for word in broader.split()) for name, broader in BROADER.items()}


def _joined(name: str) -> str:
    return stem(name.replace(" ", "_"))


@cache
def _fluff() -> frozenset[str]:
    return frozenset(stem(word) for word in FLUFF) | FLUFF


_PLAIN = frozenset(stem(word) for word in ADJECTIVES)
_KIND_OF = {stem(word): kind for kind, words in KINDS.items() for word in words}


@cache
def kind_of_word(word: str) -> str | None:
    """Return the kind of work that a stem names."""
    return _KIND_OF.get(word)


def folded(text: str) -> str:
    """Return the text in lower case without accents."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(char for char in plain if not unicodedata.combining(char))


@lru_cache(maxsize=65_536)
def terms_of(text: str) -> Terms:
    """Read a description."""
    plain = _PREFIXED.sub("re", _POSSESSIVE.sub("", folded(text)))
    for spelled, joined in _SPELLED:
        plain = plain.replace(spelled, joined)
    others = LABOR_ONLY.search(plain) is not None
    plain = LABOR_ONLY.sub(" ", plain) if others else plain
    plain = _PULLED.sub(r"remove \1", plain)
    tokens = tokenise(_PARTED.sub(r"remove \2", _NEGATED.sub(" ", plain)))
    return _Description(tokens).read(others=others)


class _Description:
    """Tokens of a description, and what was read of them so far."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.words: list[str] = []
        self.sizes: set[Size] = set()
        self.participles: set[str] = set()
        self.located: set[str] = set()
        self.verbs: set[str] = set()
        self.joined: set[str] = set()  # the words before "and" and "or"
        self.aside: set[str] = set()  # the words in brackets
        self.bracketed = False
        self.main: int | None = None
        self.where = False

    def read(self, *, others: bool) -> Terms:
        i = 0
        while i < len(self.tokens):
            i = self._name_with_number(i) or self._size(i) or self._word(i)
        words = tuple(dict.fromkeys(self.words))
        main = min(self.main or len(words), len(words))
        other = self.participles | self.aside
        return Terms(
            words,
            main,
            frozenset(self.sizes),
            frozenset(kind for word in words if word not in other and (kind := _KIND_OF.get(word))),
            self._heads(words[:main]),
            frozenset(self.located),
            frozenset(self.participles),
            frozenset(self.verbs),
            self._leading(words),
            others,
        )

    def _heads(self, main: Sequence[str]) -> frozenset[str]:
        """Return what names the thing: nouns before what is done to it, where it is and what it is sold by."""
        other = self.located | self.participles | self.verbs | _KIND_OF.keys() | place_stems() | _PLAIN
        named = [word for word in main if word not in other and len(word) > 1] or list(main)
        return frozenset([*named[-1:], *(word for word in named if word in self.joined)])

    def _name_with_number(self, i: int) -> int | None:
        """Read "R-38" and "cat 6" as one word; gives the index after it."""
        prefix = _NAMED_BY_NUMBER.get(self.tokens[i].text) if self.tokens[i].kind == "word" else None
        if prefix is None:
            return None
        hyphen = i + 1 < len(self.tokens) and self.tokens[i + 1].text == "-"
        number = read_number(self.tokens, i + 1 + hyphen)
        if number is None:
            return None
        self.words.append(f"{prefix}{number.value.normalize():f}")
        return number.end

    def _size(self, i: int) -> int | None:
        size = read_size(self.tokens, i)
        if size is None:
            return None
        self.sizes |= size[1]
        if any(unit == "coat" for _, unit in size[1]):
            self.words.append(stem("paint"))  # "two coats" says what is done, too
        return size[0]

    def _word(self, i: int) -> int:
        """Read a word or a mark."""
        token = self.tokens[i]
        if self.main is None and not place_stems().issuperset(self.words) and self._ends_main(i):
            self.main = len(dict.fromkeys(self.words))
        leads = bool(self.words) or token.text in _LEADS
        self.where = (self.where or (token.text in _WHERE and leads)) and token.kind != "mark" and token.text not in _WE
        self.bracketed = token.text == "(" or (self.bracketed and token.text != ")")
        if token.text in _JOINS:
            self.joined |= set(self.words[-1:])
        if token.kind != "word":
            return i + 1
        if token.text in _AWAY and len(self.words) == 1 and not is_verb(self.tokens[i - 1].text):
            self.words.append("remov")  # "wallpaper off the powder room"
        if i and self._is_described(i):
            self.participles.add(stem(token.text))  # "primed baseboard" asks for no priming
        if i == 0 and token.text in _LIGHT_VERBS:
            return 1
        meaning, end = _meaning(self.tokens, i)
        if not self.words and token.text in _REMOVING and end == i + 1 < len(self.tokens):
            meaning = "remove"
        named = [word for word in map(_folded_word, meaning.split()) if word and word not in _fluff()]
        if self.tokens[end - 1].text in PLAIN_VERBS:
            self.verbs |= {word for word in named if kind_of_word(word) is None}
        self.located |= set(named) - set(self.words) if self.where else set()
        self.aside |= set(named) - set(self.words) if self.bracketed else set()
        self.words += named
        return end

    def _ends_main(self, i: int) -> bool:
        """Whether a comma, a bracket or a dash by itself ends the part that names the thing."""
        text = self.tokens[i].text
        dash = text == "-" and 0 < i < len(self.tokens) - 1
        spaced = (
            dash and self.tokens[i - 1].end < self.tokens[i].start and self.tokens[i].end < self.tokens[i + 1].start
        )
        return text in {",", "(", ";"} or spaced

    def _is_described(self, i: int) -> bool:
        text = self.tokens[i].text
        participle = (text.endswith("ed") and len(text) >= _SHORTEST_PARTICIPLE) or text == "hung"
        before = self.tokens[i - 1].text
        return participle and (before not in _PASSIVE or (before == "and" and bool(self.participles)))

    def _leading(self, words: Sequence[str]) -> str:
        """Return the particular verb that the description begins with, "" for a plain one and for none."""
        at = next((i for i, token in enumerate(self.tokens) if token.kind == "word"), None)
        first = self.tokens[at].text if at is not None else ""
        if at is None or not words or not is_verb(first) or first in PLAIN_VERBS:
            return ""
        meant = [word for word in map(_folded_word, _meaning(self.tokens, at)[0].split()) if word not in _fluff()]
        named = [word for word in words if word not in _PLAIN and word not in place_stems()]
        alone = first in NOUN_TOO and len(named) == 1  # "trim, semi-gloss"
        return words[0] if meant[:1] == [words[0]] and not alone else ""


def _folded_word(word: str) -> str:
    """Return "r13" for "r-13", and the stem of anything else."""
    if any(char.isdigit() for char in word):
        return word.replace("-", "").replace("#", "no")
    return stem(word)


def _meaning(tokens: Sequence[Token], i: int) -> tuple[str, int]:
    """Read the longest known spelling at `i`; a plural means the same as its singular."""
    for length in range(_LONGEST_MEANING, 0, -1):
        spelling = [token.text for token in tokens[i : i + length]]
        if len(spelling) < length:
            continue
        for said in (" ".join(spelling), " ".join([*spelling[:-1], singular(spelling[-1])])):
            if said in MEANINGS:
                return MEANINGS[said], i + length
            if length > 1 and said in BROADER:
                return said.replace(" ", "_"), i + length
    return tokens[i].text, i + 1
