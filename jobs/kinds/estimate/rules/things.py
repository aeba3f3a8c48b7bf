"""What a sentence is about: reads the thing at the cursor, its amount and its place, and takes it as asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.kinds.estimate.rules import lexicon
from jobs.kinds.estimate.rules.asks import Ask, Lost, Saying
from jobs.kinds.estimate.rules.categories import is_trade_item
from jobs.kinds.estimate.rules.cursor import THEM, Cursor
from jobs.kinds.estimate.rules.phrases import Phrase, is_plural, read_phrase, read_place
from jobs.kinds.estimate.rules.quantities import Quantity, is_stated, read_quantity
from jobs.kinds.estimate.rules.verbs import Verb, read_bare_verb, read_verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.rules.tokens import Token

_NOT_NEEDED = frozenset({"needed", "included", "necessary", "required", "wanted"})


class Things(Cursor):
    """The cursor with what has been understood up to it."""

    def __init__(self, source: str, tokens: Sequence[Token], *, question: bool, spoken: bool) -> None:
        super().__init__(source, tokens)
        self._spoken = spoken
        self._sayings: list[Saying] = []
        self._open, self._bound, self._wants, self._negated = True, False, False, False
        self._verb: Verb | None = None
        self._doubts: tuple[str, ...] = ("asked as a question",) if question else ()
        # Typed lists and clipped speech have no finite verb: "3 GFCI outlets", "gutter: 40 lf".
        self._fragment = not any(t.text in lexicon.FINITE | lexicon.SUBJECTS for t in tokens)

    # The thing a request is about.

    def _object(self, start: int, *, alone: bool = False) -> bool:
        """Read the thing at the cursor and take it; False when there is none, or it is no work."""
        quantity = self.amended(read_quantity(self.tokens, self.i) or self._by_ear())
        after = quantity.end if quantity else self.i
        if (not alone and self.text(after) == "of") or (self._spoken and self.measured_on(quantity)):
            after += 1  # "repair of the roof"
        if not alone and self.text(after) == "," and read_verb(self.tokens, after + 1) is None:
            after += 1  # a speech engine's comma: "repair, flashing around the chimney"
        if not alone and self.text(after) in THEM and not self._fills_phrase(after + 1):
            return self._take_same(start, quantity, after + 1)
        phrase = read_phrase(self.tokens, after, stop_words=self._particle())
        if phrase is None:
            return self._take_amount(start, quantity, alone=alone)
        if not phrase.is_an_item or (alone and not self._stands_alone(quantity, phrase)):
            return False
        self._take(start, quantity, phrase)
        return True

    def _verb_by_ear(self) -> Verb | None:
        """Tell "paint to interior doors" from a word that is a noun as often: a number was meant."""
        base = lexicon.BASE.get(self.text(self.i))
        return Verb(base, self.i + 1) if self._spoken and base and self.number_by_ear(self.i + 1) else None

    def _by_ear(self) -> Quantity | None:
        return self.number_by_ear(self.i) if self._spoken and self._verb else None

    def _stands_alone(self, quantity: Quantity | None, phrase: Phrase) -> bool:
        """Whether a thing without a verb of its own was clearly asked for."""
        if phrase.head in lexicon.QUALIFIERS:
            return False
        new = self.text(phrase.start) == "new"
        if self._verb is not None:
            listed = self.text(self.i - 1) in {",", "and", "&"} and is_plural(self.tokens, phrase)
            return quantity is not None or new or listed
        if self._wants:
            return new or is_stated(quantity)
        stated = is_stated(quantity or self.trailing(read_place(self.tokens, phrase.end), None))
        article = quantity is not None and self.text(quantity.start) in lexicon.ARTICLES and not quantity.unit
        return is_trade_item(phrase.words) and (new or (stated and not article))

    def _take(
        self,
        start: int,
        quantity: Quantity | None,
        phrase: Phrase,
        *,
        resume: int | None = None,
        mentioned: bool = False,
    ) -> None:
        """Take a thing with its place and the amount that may follow it, and move behind all of it."""
        place_start = phrase.end + (self.text(phrase.end) in self._particle())
        place_end = read_place(self.tokens, place_start)
        end = max(place_end, resume or 0)
        trailing = self.trailing(end, quantity)
        if trailing is not None:
            quantity, end = trailing, trailing.end
        ask = Ask(
            verb=self._verb.base if self._verb else "",
            what=self.slice(phrase.start, phrase.end),
            words=phrase.words,
            place=self.slice(place_start, place_end),
            quantity=quantity,
            spans=(self.span(start, end),),
            counted=self.span(quantity.start, quantity.end) if quantity else None,
            negated=self._negated or self._is_declined(end) or _is_none(quantity),
            mentioned=mentioned,
            doubts=self._doubts,
        )
        self._sayings.append(ask)
        self._move(end)

    def _take_amount(self, start: int, quantity: Quantity | None, *, alone: bool) -> bool:
        """Take an amount without a thing: "two in the bathroom" after outlets, "replace all four"."""
        if quantity is None or not quantity.stated:
            return False
        if not alone:
            return self._take_same(start, quantity, quantity.end)
        last = self._sayings[-1] if self._sayings else None
        end = read_place(self.tokens, quantity.end)
        if not isinstance(last, Ask) or end == quantity.end or self._verb is None:
            return False
        place, counted = self.slice(quantity.end, end), self.span(quantity.start, quantity.end)
        elsewhere = replace(last, quantity=quantity, place=place, spans=(self.span(start, end),), counted=counted)
        elsewhere = replace(elsewhere, negated=last.negated or _is_none(quantity))
        self._sayings.append(elsewhere)
        self._move(end)
        return True

    def _take_same(self, start: int, quantity: Quantity | None, end: int) -> bool:
        """Take "it" or "them": what was named before."""
        place_end = read_place(self.tokens, end)
        ask = Ask(
            verb=self._verb.base if self._verb else "",
            what="",
            words=(),
            place=self.slice(end, place_end),
            quantity=quantity if is_stated(quantity) else None,
            spans=(self.span(start, place_end),),
            negated=self._negated or _is_none(quantity),
            same_thing=True,
            doubts=self._doubts,
        )
        self._sayings.append(ask)
        self._move(place_end)
        return True

    def _same_again(self) -> bool:
        """Understand the last verb of "replace the drywall and paint"."""
        bare = read_bare_verb(self.tokens, self.i)
        if bare is None or self.text(self.i - 1) not in {"and", "then", ","} or not self._sayings:
            return False
        self._verb = bare
        return self._take_same(self.i, None, bare.end)

    def _lose(self, start: int, verb: Verb) -> None:
        """Note a request without a thing that can be read; one about money or the machine is no request."""
        quantity = read_quantity(self.tokens, verb.end)
        about = read_phrase(self.tokens, quantity.end if quantity else verb.end)
        if about is None and not self._negated:
            end = read_place(self.tokens, quantity.end if quantity else verb.end)
            self._sayings.append(Lost(self.span(start, max(end, verb.end))))
        self._move(verb.end)

    # Small looks around, and moves.

    def _is_declined(self, i: int) -> bool:
        """Whether "not needed" follows the thing."""
        return self.text(i) == "not" and self.text(i + 1) in _NOT_NEEDED

    def _particle(self) -> frozenset[str]:
        """Return the particle that may stand behind its object ("take the deck down")."""
        parts = self._verb.base.split() if self._verb else []
        return frozenset(parts[1:]) & lexicon.PARTICLES

    def _fills_phrase(self, i: int) -> bool:
        """Whether "those" at `i - 1` points at a noun ("those outlets") rather than standing for one."""
        return self.text(i - 1) in lexicon.DETERMINERS and read_phrase(self.tokens, i) is not None

    def _move(self, i: int) -> None:
        self.i = i
        self._open = False

    def _reopen(self, i: int) -> None:
        self.i = i
        self._open, self._bound = True, False


def _is_none(quantity: Quantity | None) -> bool:
    return quantity is not None and quantity.value == 0
