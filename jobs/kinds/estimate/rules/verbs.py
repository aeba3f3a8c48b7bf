"""Verbs of work: "replace", "tear off", "remove and replace", "replacing", "to be replaced"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.kinds.estimate.rules import lexicon
from jobs.kinds.estimate.rules.phrases import read_phrase
from jobs.kinds.estimate.rules.quantities import read_quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.rules.tokens import Token

_PARTICLE_REACH = 7


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb in base form; `end` is the index after it. `unsure` when the word is a noun as often."""

    base: str
    end: int
    unsure: bool = False


def read_verb(tokens: Sequence[Token], i: int) -> Verb | None:
    """Read a request at `i`: one verb, or two joined ("clean and repair")."""
    first = _single(tokens, i)
    if first is None:
        return None
    if _text(tokens, first.end) in {"and", "&", "or", "/"}:
        second = _single(tokens, first.end + 1)
        if second and (not second.unsure or _has_object(tokens, second.end)):
            return Verb(f"{first.base} and {second.base}", second.end)
    return None if first.unsure and not _has_object(tokens, first.end) else first


def read_bare_verb(tokens: Sequence[Token], i: int) -> Verb | None:
    """Read a verb that ends its clause, whose object was named before ("replace the drywall and paint")."""
    verb = _single(tokens, i)
    return verb if verb and _text(tokens, verb.end) in {"", ","} else None


def read_passive(tokens: Sequence[Token], i: int) -> Verb | None:
    """Read "needs to be replaced", "need replacing", "should be painted", "to remove" at `i`."""
    j = i
    if _text(tokens, j) in lexicon.MODALS or _text(tokens, j) in {"has", "have"}:
        j += 1
    if _text(tokens, j) == "to":
        j += 1
    if _text(tokens, j) in {"be", "get"}:
        participle = lexicon.PARTICIPLE.get(_text(tokens, j + 1))
        return _with_particle(tokens, participle, j + 1) if participle and j > i else None
    base = lexicon.BASE.get(_text(tokens, j))
    if base and j == i + 1 and _text(tokens, i) == "to" and base not in lexicon.NOUN_TOO:
        return _with_particle(tokens, base, j)
    gerund = lexicon.GERUND.get(_text(tokens, j))
    return _with_particle(tokens, gerund, j) if gerund and j == i + 1 else None


def _single(tokens: Sequence[Token], i: int) -> Verb | None:
    word = _text(tokens, i)
    base = lexicon.BASE.get(word) or lexicon.GERUND.get(word)
    if base is None:
        return None
    needed = lexicon.NEEDS_PARTICLE.get(base)
    if needed is None:
        verb = _with_particle(tokens, base, i)
        return Verb(verb.base, verb.end, unsure=base in lexicon.NOUN_TOO or word in lexicon.ING_NOUNS)
    if _text(tokens, i + 1) in needed:
        return Verb(f"{base} {_text(tokens, i + 1)}", i + 2)
    particle = _later_particle(tokens, i + 1, needed)
    return Verb(f"{base} {particle}", i + 1) if particle else None


def _with_particle(tokens: Sequence[Token], base: str, i: int) -> Verb:
    following = _text(tokens, i + 1)
    needed = lexicon.NEEDS_PARTICLE.get(base, frozenset())
    if following in needed or (base in lexicon.MAY_TAKE_PARTICLE and following in lexicon.PARTICLES - {"in"}):
        return Verb(f"{base} {following}", i + 2)
    if base in lexicon.TAKES_TO and following == "to":
        return Verb(f"{base} to", i + 2)
    return Verb(base, i + 1)


def _later_particle(tokens: Sequence[Token], i: int, particles: frozenset[str]) -> str | None:
    """Find the particle behind its object: "take the old deck down"."""
    for token in tokens[i : i + _PARTICLE_REACH]:
        if token.kind not in {"word", "number"}:
            return None
        if token.text in particles - {"in", "on"}:
            return token.text
    return None


def _has_object(tokens: Sequence[Token], i: int) -> bool:
    """Whether an object follows a word that may be a noun: "paint the wall", not "paint is peeling"."""
    if _text(tokens, i) == "," and _text(tokens, i + 1) in lexicon.DETERMINERS | lexicon.ARTICLES:
        i += 1  # a speech engine's comma: "paint, the ceiling"
    if i >= len(tokens):
        return False
    quantity = read_quantity(tokens, i)
    if quantity is not None:
        return quantity.end < len(tokens) and tokens[quantity.end].kind in {"word", "number"}
    phrase = read_phrase(tokens, i)
    if phrase is not None and _text(tokens, phrase.end) in lexicon.FINITE:
        return False
    word = tokens[i]
    closed = lexicon.PREPOSITIONS | lexicon.FINITE | lexicon.MODALS | lexicon.CONJUNCTIONS | lexicon.RELATIVES
    return word.kind == "word" and word.text not in closed and not _tells_a_state(tokens, i)


def _tells_a_state(tokens: Sequence[Token], i: int) -> bool:
    """Tell "paint peeling in the hall" and "tile cracked" from "patch leaking pipe" and "paint ceiling"."""
    word = tokens[i].text
    if not word.endswith(("ing", "ed")) or word in lexicon.ING_NOUNS:
        return False
    return i + 1 >= len(tokens) or tokens[i + 1].kind != "word" or tokens[i + 1].text in lexicon.PREPOSITIONS


def _text(tokens: Sequence[Token], i: int) -> str:
    return tokens[i].text if 0 <= i < len(tokens) else ""
