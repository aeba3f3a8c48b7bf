"""Text into tokens that remember where they stood, so that every quote is a slice of what was said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["word", "number", "by", "mark", "stop"]

# Typographic dashes, quotes and primes to plain ones; one character for one, so that offsets stay true.
_PLAIN = str.maketrans("\u2013\u2014\u2018\u2019\u201c\u201d\u2032\u2033\u00d7\u2022", "--''\"\"'\"x*")

# Reading looks ahead at every word, so a sentence without an end would take the square of its length.
_LONGEST_SENTENCE = 200

_FRACTIONS = {"½": Decimal("0.5"), "¼": Decimal("0.25"), "¾": Decimal("0.75"), "⅓": Decimal(1) / 3}
_FRACTIONS["⅔"] = _FRACTIONS["⅓"] * 2

# Order matters: what merely looks like a number (money, dates, ordinals, percent) is taken first, as a word.
_PATTERN = re.compile(
    r"""
      (?P<opaque> [$€£]\s?\d[\d,.]*\d | [$€£]\s?\d | \#\s?\d+ | \d+(?:st|nd|rd|th)\b | \d[\d,.]*\s?%
                | \d+(?:[/.-]\d+){2,} | \d{3}-\d{4} | \d+:\d+ )
    | (?P<number> \d{1,3}(?:,\d{3})+(?:\.\d+)? | \d+\.\d+ | \d+/\d+ | \.\d+ | \d+ | [½¼¾⅓⅔] )
    | (?P<by>     x(?=\s*\d) | by(?=\s+\d) )
    | (?P<word>   r&r\b | re-[^\W\d_]+ | [^\W\d_][^\W_]*(?:'[^\W\d_]+)* )
    | (?P<stop>   [.;!?\n…]+ )
    | (?P<mark>   \S )
    """,
    re.VERBOSE | re.IGNORECASE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """A token; `text` is lower case with plain apostrophes, `start` and `end` are offsets into the source."""

    kind: Kind
    text: str
    start: int
    end: int
    value: Decimal | None = None


def tokenise(text: str) -> list[Token]:
    """Cut `text` into tokens; white space disappears, everything else is kept."""
    return [_token(match) for match in _PATTERN.finditer(text.translate(_PLAIN))]


def sentences(tokens: list[Token]) -> Iterator[tuple[list[Token], bool]]:
    """Yield each sentence without its full stop, and whether it was a question; endless ones in pieces."""
    start = 0
    for i, token in enumerate(tokens):
        if token.kind == "stop" or i - start == _LONGEST_SENTENCE:
            if i > start:
                yield tokens[start:i], "?" in token.text
            start = i + 1 if token.kind == "stop" else i
    if start < len(tokens):
        yield tokens[start:], False


def _token(match: re.Match[str]) -> Token:
    kind, raw = str(match.lastgroup), match.group()
    text = raw.lower()
    if kind == "number":
        value = _value(text)
        return Token("number" if value is not None else "word", text, match.start(), match.end(), value)
    if kind in {"opaque", "word"}:
        return Token("word", text, match.start(), match.end())
    return Token("by" if kind == "by" else "stop" if kind == "stop" else "mark", text, match.start(), match.end())


def _value(text: str) -> Decimal | None:
    """Read digits; a fraction counts only when it is one (3/4, not 10/12/24 and not 7/0)."""
    if text in _FRACTIONS:
        return _FRACTIONS[text]
    if "/" in text:
        over, under = (Decimal(part) for part in text.split("/"))
        return over / under if 0 < over < under else None
    return Decimal(text.replace(",", ""))
