"""Text into tokens that remember where they stood, so that every quote is a slice of the source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

# `length` is feet and inches in feet; `opaque` only looks like a number (dates, telephone numbers, percent, ordinals).
Kind = Literal["word", "number", "length", "money", "opaque", "by", "mark", "stop"]

# Typographic dashes, quotes and primes to plain ones; one character for one, so that offsets stay true.
_PLAIN = str.maketrans("\u2013\u2014\u2018\u2019\u201c\u201d\u2032\u2033\u00d7\u2022\u00b7\u00a0", "--''\"\"'\"x** ")
_LARGEST_PRICE = Decimal(100_000_000)
_FRACTIONS = {"½": Decimal("0.5"), "¼": Decimal("0.25"), "¾": Decimal("0.75"), "⅓": Decimal(1) / 3}
_FRACTIONS |= {"⅔": Decimal(2) / 3, "⅛": Decimal("0.125"), "⅜": Decimal("0.375"), "⅝": Decimal("0.625")}
_FRACTIONS["⅞"] = Decimal("0.875")
_VULGAR = "".join(_FRACTIONS)
_NUMBER = (
    rf"\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|\d+\.\d+|\d+[- ]\d+/\d+(?!\d|/)|\d+/\d+|\d+\s?[{_VULGAR}]|\.\d+|\d+|[{_VULGAR}]"
)
# Their full stop ends no sentence; the second set are words of their own and must not be followed by a capital.
_ABBREVIATED = frozenset(
    [
        "approx",
        "repl",
        "ea",
        "ft",
        "sq",
        "lin",
        "incl",
        "ext",
        "int",
        "alum",
        "max",
        "hr",
        "hrs",
        "yd",
        "yds",
        "gal",
        "gals",
        "lb",
        "lbs",
        "pc",
        "pcs",
        "qty",
        "rm",
        "rms",
        "apt",
        "ave",
        "mr",
        "mrs",
        "ms",
        "vs",
        "dbl",
        "sgl",
        "ins",
        "bldg",
        "elec",
        "mech",
        "cust",
        "misc",
        "cu",
        "dia",
        "reqd",
        "oz",
        "cont",
        "temp",
        "est",
        "flr",
        "galv",
        "conc",
        "typ",
        "inst",
        "insul",
        "blvd",
        "rd",
        "excl",
        "addl",
        "ckt",
        "recep",
        "cab",
        "cabs",
        "clg",
        "neg",
        "det",
        "adj",
        "yr",
        "yrs",
        "treat",
        "ded",
        "prop",
        "rem",
        "repl",
        "disp",
        "wht",
    ]
)
_ABBREVIATED_OR_WORD = frozenset(["in", "no", "st", "min", "dr", "ln", "ct", "arch", "fin", "etc", "so"])

# Order matters: what merely looks like a number is taken first.
_PATTERN = re.compile(
    rf"""
      (?P<money>  [$€£]\s?(?:(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?|\.\d+)k?\b )
    | (?P<opaque> \(?\d{{3}}\)?[-. ]\d{{3}}[-.]\d{{4}}\b | \d{{3}}-\d{{4}}\b | \d+(?:st|nd|rd|th)\b | \d[\d,.]*\s?%
                | \d{{1,4}}[/.-]\d{{1,2}}[/.-]\d{{2,4}}\b | \d+:\d+(?:\s?[ap]m\b)? | \d+\s?[ap]m\b )
    | (?P<length> \d+(?:\.\d+)?\s?(?:'|ft\b\.?)\s?-?\s?(?:1[01]|\d)(?:[- ]\d+/\d+|\.\d+)?\s?(?:"|in\b\.?) )
    | (?P<by>     x(?=\s*\d) | by(?=\s+\d) )
    | (?P<word>   r\s?[&/]\s?r\b | i\s?&\s?w\b | a/[hc]\b | d/w\b | w/o\b | w/ | in/out\b | m2\b | m²
                | [a-z]-?\d+[a-z]?(?=[\s,.;:!?)]|$) | [a-z]{{1,2}}\d+\b | \#\s?\d+ )
    | (?P<number> {_NUMBER} )
    | (?P<plain>  re-[^\W\d_]+ | t-stat\b | t-mold\w* | p-trap\w* | [^\W\d_][^\W_]*(?:'[^\W\d_]+)* )
    | (?P<leader> (?:\.{{3,}}|…)(?=\s*\d) )
    | (?P<stop>   [.;!?\n…]+ )
    | (?P<mark>   \S )
    """,
    re.VERBOSE | re.IGNORECASE,
)  # fmt: skip

_WHOLE = re.compile(r"(?P<number>\d+)")


@dataclass(frozen=True, slots=True)
class Token:
    """A token; `text` is lower case with plain apostrophes, `start` and `end` are offsets into the source."""

    kind: Kind
    text: str
    start: int
    end: int
    value: Decimal | None = None


def plain(text: str) -> str:
    """Return the text in plain quotes and dashes, character for character."""
    return text.translate(_PLAIN)


def tokenise(text: str) -> list[Token]:
    """Cut `text` into tokens; white space disappears, everything else is kept."""
    text = plain(text)
    tokens: list[Token] = []
    place = 0
    while (match := _PATTERN.search(text, place)) is not None:
        before = tokens[-1] if tokens else None
        if before is not None and before.kind == "by" and " " in match.group().strip():
            match = _WHOLE.match(text, match.start()) or match  # "4x8 1/2" are three numbers
        tokens.append(_token(match, before, text))
        place = tokens[-1].end
    return tokens


def value_of(text: str) -> Decimal | None:
    """Read digits: "1,200", "2.5", "3/4", "1-1/2"; None for a fraction that is none (6/12 is a slope, 7/0 nothing)."""
    for sign, value in _FRACTIONS.items():
        if text.endswith(sign):
            whole = text.removesuffix(sign).strip()
            return value + (Decimal(whole) if whole else 0)
    if "/" not in text:
        return Decimal(text.replace(",", ""))
    whole, _, part = text.replace("-", " ").rpartition(" ")
    over, under = (Decimal(digits) for digits in part.split("/"))
    fraction = over / under if 0 < over < under and int(under) in {2, 3, 4, 8, 16, 32} else None
    return None if fraction is None else fraction + (Decimal(whole) if whole else 0)


def _token(match: re.Match[str], before: Token | None, source: str) -> Token:
    kind, raw = str(match.lastgroup), match.group().lower()
    start, end = match.span()
    if kind == "number":
        value = value_of(raw)
        return Token("number" if value is not None else "opaque", raw, start, end, value)
    if kind == "money":
        digits = raw.lstrip("$€£ ").replace(",", "")
        value = Decimal(digits.removesuffix("k")) * (1000 if raw.endswith("k") else 1)
        return Token("money" if value < _LARGEST_PRICE else "opaque", raw, start, end, value)
    if kind == "length":
        feet, *inches = re.findall(r"\d+[- ]\d+/\d+|\d+\.\d+|\d+", raw)
        value = Decimal(feet) + ((value_of(inches[0]) or Decimal(0)) / 12 if inches else 0)
        return Token("length", raw, start, end, value)
    if kind == "stop" and raw == "." and before is not None and _is_abbreviated(before, end, source):
        return Token("mark", raw, start, end)
    if kind in {"word", "plain"}:
        text = re.sub(r"\s", "", raw)
        return Token("word", "r&r" if text == "r/r" else text, start, end)
    return Token("by" if kind == "by" else "stop" if kind == "stop" else "opaque" if kind == "opaque" else "mark",
                 raw, start, end)  # fmt: skip


def _is_abbreviated(word: Token, end: int, source: str) -> bool:
    rest = source[end : end + 8]
    following = rest.lstrip(" ")[:1]
    if word.end != end - 1 or following in {"", "\n"}:
        return False
    if word.kind == "number":  # "1." begins a list; "in 1980." ends a sentence
        return False
    capitalised = following.isupper() and rest.lstrip(" ")[1:2].islower()
    if capitalised and word.text not in {"approx", "mr", "mrs", "ms", "apt", "bldg", "qty"}:
        return False
    return word.text in _ABBREVIATED or (word.text in _ABBREVIATED_OR_WORD and not following.isupper())
