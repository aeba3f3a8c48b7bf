"""Tells which word of the price book a word that the book does not have stands for: "shgl", "synth", "lineset"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

_VOWELS = frozenset("aeiou")
_SHORTEST_START, _SHORTEST_PART, _SHORT, _LONGEST_OF_TWO = 3, 3, 2, 6


def abbreviates(short: str, word: str) -> bool:
    """Whether `short` is how people write `word`: its beginning, its consonants, or "re" before it."""
    if f"re{word}" == short or f"re{short}" == word:
        return True
    if len(short) >= len(word):
        return False
    if len(short) >= _SHORTEST_START and word.startswith(short):
        return True
    bare = not (set(short[1:]) & _VOWELS) and len(short) >= _SHORT
    if not bare or short[0] != word[0] or not _in_order(short, word):
        return False
    return len(short) > _SHORT or (short[-1] == word[-1] and len(word) <= _LONGEST_OF_TWO)


def parts_of(word: str, known: Container[str]) -> tuple[str, str] | None:
    """Cut "floodlight" into two words that the book has; None where it is no such compound."""
    cuts = range(_SHORTEST_PART, len(word) - _SHORTEST_PART + 1)
    return next(((word[:i], word[i:]) for i in cuts if word[:i] in known and word[i:] in known), None)


def _in_order(short: str, word: str) -> bool:
    letters = iter(word)
    return all(letter in letters for letter in short)
