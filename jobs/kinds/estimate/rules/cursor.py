"""A cursor over one sentence: small looks around, and the amounts that stand before, after or inside a thing."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from jobs.kinds.estimate.rules import lexicon
from jobs.kinds.estimate.rules.phrases import is_plural, read_phrase
from jobs.kinds.estimate.rules.quantities import Quantity, read_amount
from jobs.kinds.estimate.rules.units import read_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.rules.asks import Span
    from jobs.kinds.estimate.rules.tokens import Token

BREAKS = frozenset({",", ":", "-", "*", "(", ")"})
THEM = frozenset({"it", "them", "those", "these"})
_MAKE = (
    ("make", "that"),
    ("make", "it"),
    ("change", "that", "to"),
    ("change", "it", "to"),
    ("i", "mean"),
    ("i", "meant"),
)
_LONGEST_LEAD = 10  # "no, sorry, wait, make that": nobody takes longer to correct themselves
_CLOSE_AN_AMOUNT = BREAKS | THEM | lexicon.PREPOSITIONS | {"", "each", "and", "total"}


class Cursor:
    """A position in a sentence. Nothing here understands requests; `sentence` builds on it."""

    def __init__(self, source: str, tokens: Sequence[Token]) -> None:
        self.source, self.tokens, self.i = source, tokens, 0

    def text(self, i: int) -> str:
        """Return the token at `i`, "" outside the sentence."""
        return self.tokens[i].text if 0 <= i < len(self.tokens) else ""

    def starts(self, words: tuple[str, ...], i: int | None = None) -> bool:
        """Whether these words stand at `i`, or at the cursor."""
        at = self.i if i is None else i
        return tuple(token.text for token in self.tokens[at : at + len(words)]) == words

    def slice(self, start: int, end: int) -> str:
        """Return the source between two tokens in its own spelling, with single spaces."""
        if end <= start:
            return ""
        first, last = self.span(start, end)
        return " ".join(self.source[first:last].split())

    def span(self, start: int, end: int) -> Span:
        """Return the characters from token `start` up to token `end`."""
        return self.tokens[start].start, self.tokens[max(start, end - 1)].end

    def trailing(self, i: int, quantity: Quantity | None) -> Quantity | None:
        """Read the amount that follows its thing: "gutter, 40 linear feet", "outlets (3)", "walls, 12 by 14"."""
        if quantity is not None and quantity.stated and self.text(quantity.start) not in lexicon.ARTICLES:
            return None
        j = self._past_breaks(i)
        if j > i:
            j = self._past_a_room(j)
        amount = read_amount(self.tokens, j)
        if amount is None or (j == i and amount.unit is None):
            return None
        measures = amount.unit is not None or quantity is None or not quantity.stated
        return amount if measures and self.text(amount.end) in _CLOSE_AN_AMOUNT else None

    def number_by_ear(self, i: int) -> Quantity | None:
        """Read the "to" of "paint to interior doors" as two, where things that are counted follow it."""
        if self.starts(lexicon.FORTY_BY_EAR, i) and (unit := read_unit(self.tokens, i + 2, one=False)):
            return Quantity(Decimal(40), unit.name, i, unit.end, doubts=("“for the” was taken for the number 40",))
        value = lexicon.SOUNDS_LIKE.get(self.text(i))
        if value is None or self.text(i + 1) in lexicon.BASE:
            return None
        phrase = read_phrase(self.tokens, i + 1)
        if phrase is None or not phrase.is_an_item or not is_plural(self.tokens, phrase):
            return None
        return Quantity(Decimal(value), None, i, i + 1, doubts=(f"“{self.text(i)}” was taken for the number {value}",))

    def measured_on(self, quantity: Quantity | None) -> bool:
        """Whether "square feet on carpet" was said for "square feet of carpet": no place has its noun bare."""
        if quantity is None or quantity.unit in {None, "each"} or self.text(quantity.end) != "on":
            return False
        phrase = read_phrase(self.tokens, quantity.end + 1)
        return phrase is not None and phrase.head not in lexicon.ROOMS | lexicon.QUALIFIERS

    def _past_breaks(self, i: int) -> int:
        while self.text(i) in BREAKS | {"x", "here", "there"}:
            i += 1
        return i

    def _past_a_room(self, i: int) -> int:
        """Pass over the room between a thing and its size: "flooring, living room 14 x 20 ft"."""
        phrase = read_phrase(self.tokens, i)
        is_room = phrase is not None and set(phrase.words) <= lexicon.ROOMS
        return self._past_breaks(phrase.end) if phrase and is_room else i

    def amended(self, quantity: Quantity | None) -> Quantity | None:
        """Read on over a slip inside the amount: "forty feet, no, fifty feet of gutter"."""
        if quantity is None or not quantity.stated:
            return quantity
        better = self.corrected_amount(quantity.end)
        if better is None:
            return quantity
        said = f"corrected from {quantity.value:f} to {better.value:f}"
        return replace(
            better,
            start=quantity.start,
            unit=better.unit or quantity.unit,
            assumptions=(*better.assumptions, said),
        )

    def corrected_amount(self, i: int) -> Quantity | None:
        """Read "no, make that four" at `i`; None when nothing says that it is a correction."""
        j, said = i, False
        while j < i + _LONGEST_LEAD:
            make = next((words for words in _MAKE if self.starts(words, j)), None)
            if make:
                j, said = j + len(make), True
            elif self.text(j) in lexicon.CORRECTING:
                j, said = j + 1, True
            elif self.text(j) in {",", "-", "all"}:
                j += 1
            else:
                break
        return read_amount(self.tokens, j) if said else None

    def only_amount(self) -> Quantity | None:
        """Read a sentence that is nothing but an amount, as the second of "Install gutters. Forty feet"."""
        amount = read_amount(self.tokens, 0)
        return amount if amount and amount.end == len(self.tokens) else None
