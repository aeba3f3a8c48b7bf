"""Follows a speaker through a passage: later words correct, withdraw or refer to earlier ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jobs.kinds.estimate.rules.asks import Ask, Correction, Lost, Saying, Span, Withdrawal
from jobs.kinds.estimate.rules.lexicon import MORE, VAGUE
from jobs.kinds.estimate.rules.sentence import read_sentence
from jobs.kinds.estimate.rules.tokens import sentences, tokenise

if TYPE_CHECKING:
    from jobs.kinds.estimate.rules.quantities import Quantity

_LITTLE = VAGUE | MORE | {"old", "existing", "current", "broken", "damaged"}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to do as it stands at the end of the passage."""

    ask: Ask
    assumptions: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Understood:
    """The items of a passage, and the requests whose thing could not be told."""

    items: tuple[Item, ...]
    unread: tuple[Span, ...]


def understand(text: str, *, spoken: bool = False) -> Understood:
    """Read a whole passage."""
    conversation = _Conversation()
    for tokens, question in sentences(tokenise(text)):
        for saying in read_sentence(text, tokens, question=question, spoken=spoken):
            conversation.hear(saying)
    return Understood(tuple(conversation.items), tuple(conversation.unread))


def same_thing(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two mentions name one thing: equal heads, and neither has a word that contradicts the other."""
    mine, theirs = (frozenset(words) - _LITTLE for words in (one, other))
    return bool(one and other) and one[-1] == other[-1] and (mine <= theirs or theirs <= mine)


class _Conversation:
    def __init__(self) -> None:
        self.items: list[Item] = []
        self.unread: list[Span] = []
        self._named: Ask | None = None
        self._lost = False

    def hear(self, saying: Saying) -> None:
        if isinstance(saying, Lost):
            self._lose(saying)
        elif isinstance(saying, Withdrawal):
            self._withdraw()
        elif isinstance(saying, Correction):
            self._correct(saying)
        elif saying.mentioned:
            self._named = saying
        elif saying.same_thing:
            self._refer(saying)
        elif saying.negated:
            self._decline(saying)
        else:
            self._accept(saying)

    def _lose(self, lost: Lost) -> None:
        self.unread.append(lost.span)
        self._named, self._lost = None, True

    def _accept(self, ask: Ask) -> None:
        self._named, self._lost = ask, False
        self.items.append(Item(ask, doubts=ask.doubts))

    def _decline(self, ask: Ask) -> None:
        """Drop what an earlier sentence asked for and this one does not want."""
        self._named = ask
        self.items = [item for item in self.items if not _declines(ask, item.ask)]

    def _withdraw(self) -> None:
        if self.items and not self._lost:
            self._named = self.items.pop().ask

    def _refer(self, ask: Ask) -> None:
        """Give "it" and "them" their thing."""
        named = self._named
        if named is None or not named.what:
            self.unread.extend(ask.spans)
        elif ask.negated:
            self._decline(replace(named, verb=ask.verb, negated=True))
        elif ask.verb == named.verb and not named.negated and not named.mentioned:
            self._requantify(named, ask.quantity, ask.spans)
        else:
            resolved = replace(
                ask, what=named.what, words=named.words, place=ask.place or named.place,
                quantity=ask.quantity or named.quantity, spans=_with_source(ask, named), same_thing=False,
            )  # fmt: skip
            self._accept(resolved)
            assumed = f"taken to mean “{named.what}”, named just before"
            doubts = (*ask.doubts, assumed) if named.mentioned else ask.doubts
            self.items[-1] = replace(self.items[-1], assumptions=(assumed,), doubts=doubts)

    def _correct(self, correction: Correction) -> None:
        index = self._corrected(correction)
        if index is None:
            self._not_understood(correction)
            return
        item = self.items[index]
        if correction.quantity.value == 0:
            self._named = self.items.pop(index).ask
            return
        if correction.fills and item.ask.quantity is not None and item.ask.quantity.stated:
            return
        ask, doubts = item.ask, item.doubts
        if correction.words and not same_thing(correction.words, ask.words):
            doubts = (*doubts, f"a correction changed “{ask.what}” to “{correction.what}”")
            ask = replace(ask, what=correction.what, words=correction.words)
        self.items[index] = _corrected(replace(item, ask=ask, doubts=doubts), correction.quantity, (correction.span,))
        self._named = self.items[index].ask

    def _not_understood(self, correction: Correction) -> None:
        if not correction.fills:
            self.unread.append(correction.span)

    def _corrected(self, correction: Correction) -> int | None:
        for index in range(len(self.items) - 1, -1, -1):
            if same_thing(correction.words, self.items[index].ask.words):
                return index
        return len(self.items) - 1 if self.items and not self._lost else None

    def _requantify(self, named: Ask, quantity: Quantity | None, spans: tuple[Span, ...]) -> None:
        """Take "replace all four" after "replace the outlets" as their number."""
        if quantity is None:
            return
        for index, item in enumerate(self.items):
            if item.ask is named:
                self.items[index] = _corrected(item, quantity, spans)
                self._named = self.items[index].ask


def _with_source(ask: Ask, named: Ask) -> tuple[Span, ...]:
    """Quote the mention too where it alone tells how many."""
    return (*named.spans, *ask.spans) if named.mentioned else ask.spans


def _declines(no: Ask, ask: Ask) -> bool:
    elsewhere = no.place and ask.place and no.place.lower() != ask.place.lower()
    return same_thing(no.words, ask.words) and (not no.verb or no.verb == ask.verb) and not elsewhere


def _corrected(item: Item, quantity: Quantity, spans: tuple[Span, ...]) -> Item:
    before = item.ask.quantity
    unit = quantity.unit or (before.unit if before else None)
    assumptions = item.assumptions
    if before is not None and before.stated and before.value != quantity.value:
        assumptions = (*assumptions, f"corrected from {before.value:f} to {quantity.value:f}")
    ask = replace(item.ask, quantity=replace(quantity, unit=unit), spans=(*item.ask.spans, *spans), counted=None)
    return replace(item, ask=ask, assumptions=assumptions)
