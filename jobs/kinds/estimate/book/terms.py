"""A description in the terms that matching compares: stems of its words, its sizes, its kind of work."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING, TypeAlias

from jobs.kinds.estimate.book.stems import singular, stem
from jobs.kinds.estimate.book.vocabulary import FLUFF, KINDS, LABOR_ONLY, MEANINGS, PLACES, PLAIN_VERBS
from jobs.kinds.estimate.rules.numbers import read_number
from jobs.kinds.estimate.rules.tokens import tokenise
from jobs.kinds.estimate.rules.words import is_verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.rules.tokens import Token

# A number with its unit; the unit is "" where none was said ("1/2 pex").
Size: TypeAlias = tuple[Decimal, str]

_SIZE_UNITS = {
    spelling: unit
    for unit, spellings in {
        "in": 'in inch inches "',
        "ft": "ft foot feet '",
        "gal": "gal gallon gallons",
        "amp": "amp amps a",
        "ton": "ton tons",
        "hp": "hp horsepower",
        "btu": "btu btus",
        "mil": "mil",
        "yd": "yd yard yards",
        "ga": "ga gauge",
        "way": "way port pole gang zone burner station",
        "kw": "kw kilowatt",
        "psi": "psi",
        "sf": "sf sqft",
        "lb": "lb pound",
        "w": "w watt watts",
        "v": "v volt volts",
        "ply": "ply",
        "mm": "mm",
        "cm": "cm",
        "panel": "panel lite light",
        "k": "k",
        "layer": "layer layers",
    }.items()
    for spelling in spellings.split()
}
_LONGEST_MEANING = 3
# Their number is part of the name: "R-38", "cat 6".
_NAMED_BY_NUMBER = {"r": "r", "cat": "cat", "category": "cat", "merv": "merv", "sch": "sch", "schedule": "sch"}
_SPELLED = (("b t u", "btu"), ("l e d", "led"), ("p v c", "pvc"), ("g f c i", "gfci"), ("l v p", "lvp"))
# "Not painted", "without windows" is what a thing is not; "no" before a number is "number".
_NEGATED = re.compile(
    r"\b(?:not|no(?!\s*\d)|without|except|excluding|w/o|(?:instead|rather) (?:of|than)(?: the| a| an)?)\s+[\w-]+",
    re.IGNORECASE,
)


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
    ]
)
# At the front of a line these only carry their object: "run a footing", "pull a permit".
_LIGHT_VERBS = frozenset({"run", "pull", "do", "make", "build", "put"})
_PASSIVE = frozenset({"gets", "get", "got", "be", "being", "is", "are", "needs", "need", "and"})


@dataclass(frozen=True, slots=True)
class Terms:
    """`words` are stems in their order, `main` how many of them stand before the first comma.

    `located` only say where, `verbs` are those of any work, `verb` is a particular one that the text begins with.
    """

    words: tuple[str, ...]
    main: int
    sizes: frozenset[Size]
    kinds: frozenset[str]
    located: frozenset[str]
    verbs: frozenset[str]
    verb: str
    supplied_by_others: bool

    @property
    def head(self) -> str:
        """The last word of the main part, which names the thing."""
        named = [word for word in self.words[: self.main] if word not in _KIND_OF and word not in self.located]
        return (named or self.words or ("",))[-1]


@cache
def place_stems() -> frozenset[str]:
    """Return the stems of words that only say where."""
    return frozenset(stem(word) for word in PLACES)


@cache
def _fluff() -> frozenset[str]:
    return frozenset(stem(word) for word in FLUFF) | FLUFF


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
    plain = folded(text)
    for spelled, joined in _SPELLED:
        plain = plain.replace(spelled, joined)
    others = LABOR_ONLY.search(plain) is not None
    plain = LABOR_ONLY.sub(" ", plain) if others else plain
    plain = _PARTED.sub(r"remove \2", _NEGATED.sub(" ", plain))
    tokens = tokenise(plain)
    words: list[str] = []
    sizes: set[Size] = set()
    adjectives: set[str] = set()
    located: set[str] = set()
    verbs: set[str] = set()
    main, where = None, False
    i = 0
    while i < len(tokens):
        prefix = _NAMED_BY_NUMBER.get(tokens[i].text) if tokens[i].kind == "word" else None
        number = read_number(tokens, i + 1 + (i + 1 < len(tokens) and tokens[i + 1].text == "-")) if prefix else None
        if prefix and number:
            words.append(f"{prefix}{number.value.normalize():f}")
            i = number.end
            continue
        size = _size(tokens, i)
        if size is not None:
            end, found = size
            sizes |= found
            i = end
            continue
        if tokens[i].text == "," and words and main is None:
            main = len(words)
        where = (where or (tokens[i].text in _WHERE and bool(words))) and tokens[i].kind != "mark"
        if tokens[i].kind == "word":
            if tokens[i].text.endswith("ed") and tokens[i - 1].text not in _PASSIVE and i:
                adjectives.add(stem(tokens[i].text))  # "primed baseboard" asks for no priming
            if not words and i == 0 and tokens[i].text in _LIGHT_VERBS:
                i += 1
                continue
            meaning, i = _meaning(tokens, i)
            named = [word for word in map(_folded_word, meaning.split()) if word and word not in _fluff()]
            verbs |= {word for word in named if tokens[i - 1].text in PLAIN_VERBS and kind_of_word(word) is None}
            located |= set(named) - set(words) if where else set()
            words += named
        else:
            i += 1
    unique = tuple(dict.fromkeys(words))
    kinds = frozenset(kind for word in unique if word not in adjectives and (kind := _KIND_OF.get(word)))
    first = next((token.text for token in tokens if token.kind == "word"), "")
    leading = unique[0] if unique and is_verb(first) and first not in PLAIN_VERBS and stem(first) == unique[0] else ""
    return Terms(
        unique,
        min(main or len(unique), len(unique)),
        frozenset(sizes),
        kinds,
        frozenset(located),
        frozenset(verbs),
        leading,
        others,
    )


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
    return tokens[i].text, i + 1


def _size(tokens: Sequence[Token], i: int) -> tuple[int, set[Size]] | None:
    """Read "5/8 inch", "6-ft", "24 x 36", "number 4" at `i`."""
    if tokens[i].text in {"number", "no"} and i + 1 < len(tokens):
        number = read_number(tokens, i + 1)
        return (number.end, {(number.value, "no")}) if number else None
    if tokens[i].text.startswith("#") and tokens[i].text[1:].strip().isdigit():
        return i + 1, {(Decimal(tokens[i].text[1:]), "no")}
    if tokens[i].kind == "length" and tokens[i].value is not None:
        return i + 1, {(tokens[i].value or Decimal(0), "ft")}
    number = read_number(tokens, i)
    if number is None:
        return None
    end, unit = _unit(tokens, number.end)
    sizes = {(number.value, unit)}
    while end < len(tokens) and tokens[end].kind == "by":
        following = read_number(tokens, end + 1)
        if following is None:
            break
        end, unit = _unit(tokens, following.end)
        sizes = {(value, "x") for value, _ in sizes} | {(following.value, "x")}
    return end, sizes


def _unit(tokens: Sequence[Token], i: int) -> tuple[int, str]:
    j = i + 1 if i < len(tokens) and tokens[i].text == "-" else i
    if j + 1 < len(tokens) and tokens[j].text in {"sq", "square"} and tokens[j + 1].text in {"ft", "feet", "foot"}:
        return j + 2, "sf"
    if j < len(tokens) and tokens[j].text in _SIZE_UNITS:
        return j + 1, _SIZE_UNITS[tokens[j].text]
    return i, ""
