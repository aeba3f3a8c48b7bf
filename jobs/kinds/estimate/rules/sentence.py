"""Reads one sentence from left to right into sayings. A request may only begin where a speaker could begin one.

`open` is that place: the start, after a comma or conjunction, after "please", "we should" or "wants us to".
Anything else is prose, which is passed over until the next opening; so stories and descriptions make no items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.kinds.estimate.rules import lexicon
from jobs.kinds.estimate.rules.asks import Correction, Saying, Withdrawal
from jobs.kinds.estimate.rules.cursor import BREAKS
from jobs.kinds.estimate.rules.phrases import read_phrase, read_place
from jobs.kinds.estimate.rules.quantities import is_stated, read_quantity
from jobs.kinds.estimate.rules.things import Things
from jobs.kinds.estimate.rules.verbs import read_passive, read_verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.rules.tokens import Token

_WITHDRAWING = tuple(
    tuple(words.split())
    for words in (
        "scratch that",
        "scratch it",
        "strike that",
        "forget that",
        "forget it",
        "forget about that",
        "forget about it",
        "never mind",
        "cancel that",
    )
)
_OBSERVES = frozenset({"have", "has", "got", "is", "are", "there", "there's"})


def read_sentence(
    source: str, tokens: Sequence[Token], *, question: bool = False, spoken: bool = False
) -> list[Saying]:
    """Return what one sentence asks for, in its order; `spoken` makes up for what an ear mistakes."""
    return _Reader(source, tokens, question=question, spoken=spoken).read()


class _Reader(Things):
    """Tells by what stands at the cursor what the speaker is doing there."""

    def read(self) -> list[Saying]:
        if (amount := self.only_amount()) is not None:
            return [Correction(amount, "", (), self.span(0, amount.end), fills=True)]
        steps = (
            self._withdrawal,
            self._correction,
            self._negation,
            self._doubt,
            self._passive,
            self._request,
            self._item,
            self._mention,
            self._opening,
        )
        while self.i < len(self.tokens):
            if not any(step() for step in steps):
                self._prose()
        return self._sayings

    # Steps: each looks at the cursor and, when it understands what stands there, moves it and returns True.

    def _withdrawal(self) -> bool:
        for words in _WITHDRAWING:
            if self.starts(words):
                self._sayings.append(Withdrawal(self.span(self.i, self.i + len(words))))
                self._move(self.i + len(words))
                return True
        return False

    def _correction(self) -> bool:
        amount = self.corrected_amount(self.i) if self._open else None
        if amount is None or self.text(amount.end - 1) in lexicon.MORE:
            return False
        phrase = read_phrase(self.tokens, amount.end)
        end = phrase.end if phrase else amount.end
        what = self.slice(phrase.start, phrase.end) if phrase else ""
        self._sayings.append(Correction(amount, what, phrase.words if phrase else (), self.span(self.i, end)))
        self._move(end)
        return True

    def _negation(self) -> bool:
        word = self.text(self.i)
        instead = self.starts(("instead", "of")) or self.starts(("rather", "than"))
        answers = word == "no" and self.text(self.i + 1) in {",", ""}
        if not instead and (word not in lexicon.NEGATIONS or answers):
            return False
        if self.starts(("forget", "to"), self.i + 1):
            self._reopen(self.i + 3)
            return True
        self._negated = True
        self._reopen(self.i + (2 if instead or self.starts(("no", "need")) else 1))
        return True

    def _doubt(self) -> bool:
        word = self.text(self.i)
        if word not in lexicon.DOUBTS or self.text(self.i + 1) == "you":
            return False
        self._doubts = (*self._doubts, f"said with doubt (“{word}”)")
        self._bound = False
        self.i += 1
        return True

    def _passive(self) -> bool:
        """Understand "the gutter on the north side needs to be replaced" and "three outlets to install"."""
        quantity = read_quantity(self.tokens, self.i) if self._open else None
        phrase = read_phrase(self.tokens, quantity.end if quantity else self.i) if self._open else None
        if phrase is None or not phrase.is_an_item:
            return False
        end = read_place(self.tokens, phrase.end)
        declined = self.text(end) in lexicon.NEGATIONS
        verb = read_passive(self.tokens, end + declined)
        active = self.text(end + declined) == "to" and self.text(end + declined + 1) not in {"be", "get"}
        if verb is None or (active and not is_stated(quantity)):  # "he tried to repair" only tells
            return False
        self._verb, self._negated = verb, self._negated or declined
        self._take(self.i, quantity, phrase, resume=verb.end)
        return True

    def _request(self) -> bool:
        if not self._open or self._bound:
            return False
        verb = read_verb(self.tokens, self.i) or self._verb_by_ear()
        if verb is None:
            return self._same_again()
        if self.text(self.i - 1) in BREAKS:
            self._negated = False
        start, self._verb = self.i, verb
        self.i = verb.end
        if not self._object(start):
            self._lose(start, verb)
        return True

    def _item(self) -> bool:
        """Understand an item without a verb of its own: inherited, wanted, or listed."""
        may_stand = self._open and (self._verb or self._wants or self._fragment)
        return bool(may_stand) and self._object(self.i, alone=True)

    def _mention(self) -> bool:
        """Remember a thing that is only spoken of, for a later "replace them"."""
        quantity = read_quantity(self.tokens, self.i) if self._open else None
        phrase = read_phrase(self.tokens, quantity.end) if quantity else None
        if quantity is None or phrase is None or not phrase.is_an_item:
            return False
        self._verb = None
        self._take(self.i, quantity, phrase, mentioned=True)
        return True

    def _opening(self) -> bool:
        word = self.text(self.i)
        if word in BREAKS or word in lexicon.CONJUNCTIONS or word in lexicon.RESETS_NEGATION:
            self._negated = self._negated and word not in lexicon.RESETS_NEGATION
            self._open, self._bound = True, False
        elif word in lexicon.PROMISES and self.text(self.i - 1) in lexicon.OTHERS:
            self._open, self._verb = False, None
        elif word in lexicon.MODALS | lexicon.WANTS:
            self._wants = self._wants or word in lexicon.WANTS
            self._open, self._bound, self._verb = True, False, None
        elif word == "to" and (self.text(self.i - 1) in lexicon.ASKS_TO | {""} or self._asks_on()):
            self._open, self._bound = True, False
        elif word in lexicon.SUBJECTS | _OBSERVES:
            # "should we replace" asks; "they replace" tells.
            self._bound = self.text(self.i - 1) not in lexicon.MODALS
            self._open, self._verb = True, None
        elif not (self._open and word in lexicon.FILLERS):
            return False
        self.i += 1
        return True

    def _prose(self) -> None:
        self.i += 1
        self._open, self._verb, self._wants = False, None, False

    def _asks_on(self) -> bool:
        """Whether "and to" goes on with a request ("to install two fans, and to replace four windows")."""
        return self.text(self.i - 1) in {"and", "then"} and bool(self._sayings)
