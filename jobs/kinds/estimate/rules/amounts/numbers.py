"""Spoken and written numbers: "two", "twenty-five", "a dozen", "half", "two and a half", "2 1/2"."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.rules.tokens import Token

_SMALL = {
    word: Decimal(value)
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS = {
    word: Decimal(10 * value)
    for value, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2
    )
}
_TENS["fourty"] = _TENS["forty"]
# A line of Spanish among English ones; "once" is left out, it is an English word.
_SMALL |= {
    word: Decimal(value)
    for word, value in {
        "dos": 2, "tres": 3, "cuatro": 4, "cinco": 5, "seis": 6, "siete": 7, "ocho": 8, "nueve": 9, "diez": 10,
        "doce": 12, "quince": 15,
    }.items()
}  # fmt: skip
_SMALL["twice"] = Decimal(2)
_SCALES = {"hundred": Decimal(100), "thousand": Decimal(1000)}
_GROUPS = {"dozen": Decimal(12), "doz": Decimal(12), "dz": Decimal(12), "couple": Decimal(2)}
_PARTS = {
    "half": Decimal("0.5"),
    "quarter": Decimal("0.25"),
    "quarters": Decimal("0.25"),
    "third": Decimal(1) / 3,
    "thirds": Decimal(1) / 3,
    "eighth": Decimal("0.125"),
    "eighths": Decimal("0.125"),
    "sixteenths": Decimal("0.0625"),
}
_FIRST = _SMALL.keys() | _TENS.keys() | _GROUPS.keys() | _PARTS.keys() | {"a", "an", "hundred"}
# More than this on one line is a telephone number or a slip, never a quantity.
_LARGEST = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Number:
    """A number that was read; `end` is the index after its last token."""

    value: Decimal
    end: int


def read_number(tokens: Sequence[Token], i: int, *, joined: bool = False) -> Number | None:
    """Read the longest number at `i`; None when there is none or it is beyond any quantity.

    `joined` takes "nine sixty" for 960; where two numbers may meet ("two twenty amp breakers") they stay two.
    """
    if i < len(tokens) and tokens[i].text == "inch":  # "inch and a half"
        inches = _and_a_part(tokens, Number(Decimal(1), i + 1))
        return inches if inches.end > i + 1 else None
    if i >= len(tokens) or (tokens[i].kind != "number" and tokens[i].text not in _FIRST):
        return None
    found = _grouped(tokens, i) or _part(tokens, i) or _digits(tokens, i) or _spoken(tokens, i)
    if found is not None and joined:
        found = _joined(tokens, found)
    if found is None:
        return None
    found = _and_a_part(tokens, found)
    return found if found.value <= _LARGEST else None


def _text(tokens: Sequence[Token], i: int) -> str:
    return tokens[i].text if i < len(tokens) else ""


def _grouped(tokens: Sequence[Token], i: int) -> Number | None:
    """Read "a dozen", "half a dozen", "two dozen", "a couple of"."""
    factor, j = Decimal(1), i
    if _text(tokens, j) == "half":
        factor, j = Decimal("0.5"), j + 1
    if _text(tokens, j) in {"a", "an"}:
        j += 1
    elif j == i and (small := _spoken(tokens, j) or _digits(tokens, j)):
        factor, j = small.value, small.end
    group = _GROUPS.get(_text(tokens, j).removesuffix("s"))
    if group is None:
        return None
    if scale := _SCALES.get(_text(tokens, j + 1)):  # "a couple hundred"
        factor, j = factor * scale, j + 1
    end = j + 1 + (_text(tokens, j + 1) == "of")
    return Number((factor * group).normalize() + 0, end)


def _part(tokens: Sequence[Token], i: int) -> Number | None:
    """Read "half", "half a", "a half", "three quarters", "a quarter"."""
    j, count = i, Decimal(1)
    if _text(tokens, j) in {"a", "an"}:
        j += 1
    elif _text(tokens, j) in _SMALL:
        count, j = _SMALL[_text(tokens, j)], j + 1
    part = _PARTS.get(_text(tokens, j))
    plural = _text(tokens, j).endswith("s") or (count == _SMALL["three"] and _text(tokens, j) == "quarter")
    if part is None or (count != 1 and not plural):
        return None
    after_article = j + 2 if _text(tokens, j + 1) in {"a", "an"} else j + 1
    return Number(count * part, after_article)


def _digits(tokens: Sequence[Token], i: int) -> Number | None:
    if i >= len(tokens) or tokens[i].kind != "number":
        return None
    value = tokens[i].value
    if value is None:
        return None
    following = tokens[i + 1] if i + 1 < len(tokens) else None
    if following and following.kind == "number" and following.value and following.value < 1 <= value:
        return Number(value + following.value, i + 2)
    if scale := _SCALES.get(_text(tokens, i + 1)):
        return Number(value * scale, i + 2)
    return Number(value, i + 1)


def _spoken(tokens: Sequence[Token], i: int) -> Number | None:
    """Read number words up to thousands: "one hundred and twenty five"."""
    total, group, j, seen = Decimal(0), Decimal(0), i, False
    if _text(tokens, j) == "a" and _text(tokens, j + 1) in _SCALES:
        group, j, seen = Decimal(1), j + 1, True
    elif _text(tokens, j) == "hundred":
        group, seen = Decimal(1), True
    while j < len(tokens):
        step = _spoken_step(tokens, j, group, first=not seen)
        if step is None or (step[2] and total):
            break
        group, j, thousands = step
        seen = True
        if thousands:
            total, group = total + group, Decimal(0)
    return Number(total + group, j) if seen else None


def _spoken_step(tokens: Sequence[Token], j: int, group: Decimal, *, first: bool) -> tuple[Decimal, int, bool] | None:
    """Take one more number word onto `group`; returns (group, next index, closes a thousand) or None."""
    word = _text(tokens, j)
    if not first and word in {"-", "and"}:
        joined = word == "-" or group >= _SCALES["hundred"] or group == 0
        follows = _text(tokens, j + 1) in _SMALL or _text(tokens, j + 1) in _TENS
        return _spoken_step(tokens, j + 1, group, first=False) if joined and follows else None
    if word in _TENS and group % 100 == 0:
        return group + _TENS[word], j + 1, False
    if word in _SMALL and _fits(group, _SMALL[word], first=first):
        return group + _SMALL[word], j + 1, False
    if word in _SCALES and not first and 0 < group < _SCALES[word]:
        return group * _SCALES[word], j + 1, word == "thousand"
    return None


def _joined(tokens: Sequence[Token], found: Number) -> Number:
    """Read on over the tens of "nine sixty"."""
    if (
        not 0 < found.value < Decimal(20)
        or tokens[found.end - 1].kind != "word"
        or _text(tokens, found.end) not in _TENS
    ):
        return found
    rest = _spoken(tokens, found.end)
    return Number(found.value * 100 + rest.value, rest.end) if rest and rest.value < Decimal(100) else found


def _fits(group: Decimal, small: Decimal, *, first: bool) -> bool:
    """Whether a word below twenty may follow: "twenty" + "five" and "hundred" + "twelve", not "two" + "three"."""
    if first:
        return True
    under_ten_after_tens = group % 100 >= Decimal(20) and group % 10 == 0 and 0 < small < Decimal(10)
    return under_ten_after_tens or (group % 100 == 0 and small > 0)


def _and_a_part(tokens: Sequence[Token], found: Number) -> Number:
    """Extend "two" by "and a half" or "and 1/2"."""
    if _text(tokens, found.end) != "and":
        return found
    part = _part(tokens, found.end + 1) or _digits(tokens, found.end + 1)
    if part is None or not 0 < part.value < 1:
        return found
    return Number(found.value + part.value, part.end)
