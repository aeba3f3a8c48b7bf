"""Follows a speaker through a passage. Every clause becomes a line, part of one, or a remark with its own words.

Each clause is a line unless shown otherwise; later words correct, withdraw or refer to earlier ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jobs.kinds.estimate.book.stems import singular, stem
from jobs.kinds.estimate.book.terms import kind_of_word, place_stems, terms_of
from jobs.kinds.estimate.book.vocabulary import ADJECTIVES, LABOR_ONLY
from jobs.kinds.estimate.rules.amounts.amount_parser import read_amounts
from jobs.kinds.estimate.rules.clauses import remarks
from jobs.kinds.estimate.rules.clauses.classify import IT, asks_for_work, known, remark_in, thing_of
from jobs.kinds.estimate.rules.clauses.clauses import Clause, clauses_of, is_numbering
from jobs.kinds.estimate.rules.clauses.phrases import bare, content_of, counts_elsewhere, stated_in
from jobs.kinds.estimate.rules.tokens import tokenise
from jobs.kinds.estimate.rules.words import ROOMS, is_content, is_participle, is_verb, means_removal
from store.estimates.units import PACKAGES, canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobs.kinds.estimate.book.book import Book
    from jobs.kinds.estimate.rules.amounts.amounts import Amount
    from jobs.kinds.estimate.rules.tokens import Token

Span = tuple[int, int]
_ANSWERS_NO = re.compile(r"^\W*(?:no\b(?!\s*\d)|n/a\b)", re.IGNORECASE)
_ALL_OF = re.compile(r"\ball \w+\W*$", re.IGNORECASE)
_STOP = re.compile(r"[.;!?\n]")
_SAYS_NO_MORE = frozenset(["side", "sides", "corners", "ends", "places", "spots", "size", "sizes", "type", "kind"])
_PUTS_IN = frozenset(["new", "install", "replace", "put", "set", "hang", "mount"])
_THAT = re.compile(r"\b(?:it|that|those|them|these)\b(?!')|\b[Tt]hat's\b")
_NO_THING = re.compile(r"\b(?:call|make|figure|say|leave) it\b", re.IGNORECASE)
# "I'd put that at twelve hundred", "I'll charge forty five".
_PRICING = frozenset(
    ["charge", "price", "put", "bill", "run", "runs", "cost", "costs", "get", "do", "have", "those", "apiece"]
)
_RESTATES = re.compile(r"^\W*(?:so|that's|that makes|making|altogether|total of)\b", re.IGNORECASE)
_MANY = re.compile(r"\b(?:them|those|these|ones|all|both)\b", re.IGNORECASE)
_NEGATION = re.compile(
    r"\b(?:do not|don't|dont|no need to|no|not|never|skip|leave|keep|need|to|alone|touch|instead|rather|than|of|"
    r"mind|forget|scratch|strike|nix|omit|cancel|lose|hold off|leave off|about|that|it)\b",
    re.IGNORECASE,
)
_VAGUE = frozenset(
    [
        "old",
        "new",
        "thing",
        "things",
        "stuff",
        "existing",
        "place",
        "units",
        "unit",
        "rest",
        "whole",
        "again",
        "everything",
    ]
)
_FAR = 4  # times as much
UNNAMED = "nobody named the work; please check what is meant"


@dataclass(frozen=True, slots=True)
class Remark:
    """Words that make no line, and their meaning instead."""

    kind: str
    span: Span


@dataclass(frozen=True)
class Item:
    """One thing to do as it stands at the end of the passage.

    `thing` is the meaning of "it" after the clause; `refers_to` is the meaning of "it" in it.
    """

    clause: Clause
    amounts: tuple[Amount, ...]
    spans: tuple[Span, ...]
    refers_to: str = ""
    assumptions: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    thing: str = ""
    corrected: bool = False
    supplied: bool = False


@dataclass
class Reading:
    """The items and remarks of a passage; their spans hold every word of it."""

    items: list[Item] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Named:
    """The thing that was spoken of last."""

    thing: str
    amounts: tuple[Amount, ...]
    span: Span
    supplied: bool = False


class Uncovered(AssertionError):
    """Words of a source became neither a line nor a remark: a fault of the rules, never the visit's."""


def read_passage(text: str, book: Book, *, spoken: bool = False) -> Reading:
    """Read a whole passage. Raises `Uncovered` when a word was lost."""
    reader = _Reader(book)
    for clause in clauses_of(text, book, spoken=spoken):
        reader.hear(clause)
    reading = reader.reading
    spans = [span for item in reading.items for span in item.spans] + [remark.span for remark in reading.remarks]
    require_covered(text, spans)
    return reading


def require_covered(text: str, spans: Iterable[Span]) -> None:
    """Raise `Uncovered` when a word or a number of `text` lies in none of the spans."""
    held = bytearray(len(text))
    for start, end in spans:
        held[start:end] = b"\1" * (end - start)
    for token in tokenise(text):
        lost = token.kind not in {"mark", "stop", "by"} and not all(held[token.start : token.end])
        if lost and not is_numbering(text, token):
            raise Uncovered(f"“{text[token.start : token.end]}” at {token.start} became nothing")


class _Reader:
    def __init__(self, book: Book) -> None:
        self.book = book
        self.reading = Reading()
        self._named: _Named | None = None
        self._instructed, self._heard, self._restated = False, 0, 0

    def hear(self, clause: Clause) -> None:
        """Take one clause."""
        if _ANSWERS_NO.match(clause.text) and self._items and self._items[-1].clause.question:
            self._take_back()
        if remarks.SCRATCH.search(clause.text) and not _names_anything(remarks.SCRATCH.sub(" ", clause.text)):
            self._note(remarks.WITHDRAWN, clause)
            self._take_back()
        elif (remarks.CORRECTING.match(clause.text + " ") and self._correct(clause)) or self._restates(clause):
            return
        elif (kind := self._remark(clause)) is not None:
            self._note(kind, clause)
        elif self._continues(clause):
            self._extend(clause)
        else:
            self._accept(clause)

    @property
    def _was_told(self) -> bool:
        """Whether the thing spoken of last was only told of, and nothing asked for it yet."""
        return self._named is not None and any(remark.span == self._named.span for remark in self.reading.remarks)

    @property
    def _items(self) -> list[Item]:
        return self.reading.items

    def _remark(self, clause: Clause) -> str | None:
        """Return the kind of remark; the rest of a sentence with an order to the machine is one too."""
        ordered = remarks.remark_of(clause.text) == remarks.INSTRUCTION
        same_sentence = not _STOP.search(clause.source[self._heard : clause.span[0]])
        self._instructed = ordered or (self._instructed and same_sentence)
        self._heard = clause.span[1]
        return remarks.INSTRUCTION if self._instructed else remark_in(clause, self.book)

    def _note(self, kind: str, clause: Clause) -> None:
        if kind == remarks.BY_OTHERS and LABOR_ONLY.search(clause.text) and self._is_supplied(clause):
            return
        self.reading.remarks.append(Remark(kind, clause.span))
        if kind == remarks.EXCLUDED:
            self._decline(clause)
        if kind == remarks.BY_OTHERS and _THAT.search(clause.text) and not content_of(clause.tokens)[1:]:
            self._take_back()  # "that's not us"
        supplied = LABOR_ONLY.search(clause.text) is not None
        thing = thing_of(_supplied_in(clause) if supplied else clause)
        heads = kind == remarks.PLACE and self.book.knows(stem(thing.split()[0].lower())) if thing else False
        if (kind in {remarks.CONDITION, remarks.EXCLUDED} or heads or supplied) and thing:
            self._named = _Named(thing, tuple(read_amounts(clause.tokens)), clause.span, supplied)

    def _is_supplied(self, clause: Clause) -> bool:
        """Take "the customer is buying the faucets" as part of the line that installs them."""
        heads = terms_of(thing_of(_supplied_in(clause))).heads - {""}
        last = len(self._items) - 1
        alike = (i for i in range(last, -1, -1) if heads & terms_of(self._items[i].thing).heads)
        index = next(alike, last if IT.search(clause.text) and not heads and last >= 0 else None)
        if index is None:
            return False
        item = self._items[index]
        self._items[index] = replace(item, supplied=True, spans=(*item.spans, clause.span))
        return True

    # Taking back and correcting.

    def _take_back(self) -> None:
        if self._items:
            self._withdraw(self._items[-1])

    def _withdraw(self, item: Item) -> None:
        self._items.remove(item)
        self.reading.remarks += [Remark(remarks.WITHDRAWN, span) for span in item.spans]

    def _decline(self, clause: Clause) -> None:
        """Withdraw work that an earlier sentence asked for and this one does not want."""
        said = _NEGATION.sub(" ", remarks.CORRECTING.sub(" ", clause.text.split(",")[0] + " "))
        things = terms_of(said).words
        if not any(kind_of_word(word) is None and word not in place_stems() for word in things):
            return
        # In the words themselves: a myrtle that stays is a tree, and no reason to drop the maples.
        declined = _plain_stems(said)
        for item in [one for one in self._items if declined and declined <= _plain_stems(one.clause.text)]:
            self._withdraw(item)

    def _correct(self, clause: Clause) -> bool:
        """Change the amount of the line that is meant; False when the clause asks for something else."""
        lead = remarks.CORRECTING.match(clause.text + " ")
        rest = tuple(t for t in clause.tokens if t.start >= clause.span[0] + (lead.end() if lead else 0))
        amounts = stated_in(rest)
        # "Make it sixty square feet of ply."
        of_thing = content_of(rest[amounts[0].end :]) if amounts else []
        index = self._meant(_stems(rest, amounts) or of_thing, amounts[0]) if amounts and self._items else None
        if index is None:
            return False
        self._set_amount(index, amounts[0], clause)
        return True

    def _restates(self, clause: Clause) -> bool:
        """Take "so four receptacles and one GFCI" as the amounts of the lines before; False for other things."""
        same_sentence = not _STOP.search(clause.source[self._restated : clause.span[0]]) if self._restated else False
        amounts = stated_in(clause.tokens)
        if len(amounts) != 1 or not (same_sentence or _RESTATES.match(clause.text)):
            return False
        mine = set(terms_of(thing_of(clause)).words)
        named = {i: set(terms_of(item.thing or thing_of(item.clause)).words) for i, item in enumerate(self._items)}
        index = min((i for i, words in named.items() if mine <= words), key=lambda i: len(named[i]), default=None)
        if index is None or not mine:
            return False
        self._restated = clause.span[1]
        self._set_amount(index, amounts[0], clause)
        return True

    def _meant(self, words: Sequence[str], amount: Amount) -> int | None:
        """Find the line a correction means: the last that shares its thing, or the last of all for a bare number."""
        last = len(self._items) - 1
        if words:
            sharing = (i for i in range(last, -1, -1) if words[-1] in terms_of(self._items[i].clause.text).words)
            return next(sharing, None if self._items[last].thing else last)
        same = [i for i, item in enumerate(self._items) if any(a.unit == amount.unit for a in item.amounts if a.stated)]
        return same[-1] if amount.unit and same else last

    def _set_amount(self, index: int, amount: Amount, clause: Clause) -> None:
        item = self._items[index]
        if amount.value == 0:
            self._withdraw(item)
            self.reading.remarks.append(Remark(remarks.WITHDRAWN, clause.span))
            return
        before = next((a for a in item.amounts if a.stated and _alike(a, amount)), None)
        told = f"corrected from {before.value:f} to {amount.value:f}" if before else f"corrected to {amount.value:f}"
        new = replace(amount, unit=amount.unit or (before.unit if before else None), grip="marked")
        if before is not None and new.kind == "count" and before.kind == "measure":
            new = replace(new, kind="measure", grip="firm")
        new = replace(new, assumptions=(*new.assumptions, told))
        if before is not None and not _comparable(before, amount):
            new = replace(new, doubts=(*new.doubts, f"{told}; it may be meant for something else"))
        refers = item.refers_to if item.thing else thing_of(clause)  # "forty feet, no, fifty feet of gutter"
        self._items[index] = replace(
            item,
            amounts=(*(a for a in item.amounts if not a.stated), new),
            spans=(*item.spans, clause.span),
            corrected=True,
            refers_to=refers,
            thing=item.thing or refers,
        )

    # Adding to the line before.

    def _continues(self, clause: Clause) -> bool:
        """Whether a clause only adds an amount or a size to the line before it: "Forty feet."."""
        amounts = read_amounts(clause.tokens)
        if self._items and _only_says_a_price(clause, amounts):
            return True
        if self._items and self._counts_another_size(clause, amounts):
            return False
        named = [word for word in content_of(clause.tokens) if word not in ADJECTIVES | _SAYS_NO_MORE]
        verbs = any(is_verb(word) for word in clause.words)
        if self._items and not named and not verbs and (amounts or content_of(clause.tokens)):
            return True  # "sixteen by seven", "three of those", "both sides", "white"
        if not self._items or not amounts or IT.search(clause.text):
            return False
        counted = any(a.stated and a.kind != "area" for a in self._items[-1].amounts)
        if counted and any(a.stated for a in amounts):
            return False
        named = [word for word in content_of(clause.tokens) if canonical(word) not in PACKAGES]
        in_a_room = any(word in ROOMS for word in named) and any(a.unit in PACKAGES for a in amounts)
        return not in_a_room and all(word in ROOMS for word in named)

    def _counts_another_size(self, clause: Clause, amounts: Sequence[Amount]) -> bool:
        """Whether a clause counts the thing before it in another size: "3 switches, 1 3-way"."""
        counted = any(a.kind == "count" and a.stated for a in self._items[-1].amounts)
        sizes = any(a.kind == "size" for a in amounts)
        return counted and sizes and any(a.kind == "count" for a in amounts) and not content_of(clause.tokens)

    def _extend(self, clause: Clause) -> None:
        last = self._items[-1]
        amounts = read_amounts(clause.tokens)
        had = any(a.stated and a.kind != "area" for a in last.amounts)
        more = tuple(replace(a, kind="size") if had and a.stated else a for a in amounts)
        self._items[-1] = replace(last, amounts=(*last.amounts, *more), spans=(*last.spans, clause.span))

    # Making a line.

    def _accept(self, clause: Clause) -> None:
        """Make a line of a clause, with the thing that "it" stands for."""
        item = Item(clause, tuple(read_amounts(clause.tokens)), (clause.span,), doubts=self._doubts(clause))
        if self._refers(clause):
            if self._named is None and not (item.amounts and asks_for_work(clause, self.book)):
                self.reading.remarks.append(Remark(remarks.NOT_UNDERSTOOD, clause.span))
                return
            named = self._named
            if named is not None and (self._repeats(clause) or self._goes_on(clause, named)):
                return
            item = self._resolved(item, named) if named is not None else item
        elif self._items and (counts_elsewhere(clause.tokens) or self._counts_another_size(clause, item.amounts)):
            another = self._counts_another_size(clause, item.amounts)
            doubts = (f"taken as another size of “{self._items[-1].thing}”",) if another else ()
            item = replace(item, refers_to=self._items[-1].thing, doubts=(*item.doubts, *doubts))
        # "Six foot cedar, same footage."
        said = [amount for amount in stated_in(clause.tokens) if amount.grip != "soft"]
        if "same" in clause.words and not said and self._items:
            last = self._items[-1]
            before = [replace(a, grip="firm" if a.unit else a.grip) for a in last.amounts if a.stated]
            told = ("“same” was taken as the amount before",) if before else ()
            spans = (*(last.spans[-1:] if before else ()), *item.spans)
            item = replace(item, amounts=(*item.amounts, *before), assumptions=(*item.assumptions, *told), spans=spans)
        item = replace(item, thing=item.refers_to or thing_of(clause))
        if self._is_the_new_one(item):
            removed = self._items.pop()
            item = replace(item, spans=(*removed.spans, *item.spans), doubts=(*removed.doubts, *item.doubts))
        self._items.append(item)
        self._named = _Named(item.thing, item.amounts, clause.span) if item.thing else self._named

    def _is_the_new_one(self, item: Item) -> bool:
        """Whether a line puts in the thing that the one before, in the same sentence, takes out: one piece of work."""
        last = self._items[-1] if self._items else None
        if last is None or not item.clause.text or any(a.stated for a in last.amounts):
            return False
        between = item.clause.source[last.clause.span[1] : item.clause.span[0]]
        taken_out = any(means_removal(word) or word == "pull" for word in last.clause.words)
        put_in = _PUTS_IN & set(item.clause.words)
        heads = [thing.lower().split()[-1:] for thing in (last.thing, item.thing)]
        same = bool(heads[0]) and singular(heads[0][0]) == singular((heads[1] or [""])[0])
        return taken_out and bool(put_in) and same and not _STOP.search(between)

    def _doubts(self, clause: Clause) -> tuple[str, ...]:
        doubts = []
        refers = self._refers(clause) or counts_elsewhere(clause.tokens)
        if not refers and not stated_in(clause.tokens) and not asks_for_work(clause, self.book):
            doubts += [] if known(clause, self.book) else [UNNAMED]
        if clause.question:
            doubts.append("asked as a question")
        if (hedge := remarks.HEDGE.search(clause.text)) is not None:
            doubts.append(f"said with doubt (“{hedge[0].lower()}”)")
        return tuple(doubts)

    def _resolved(self, item: Item, named: _Named) -> Item:
        """Give "it" its thing, with its sizes; a remark that it was named in becomes part of the line."""
        sizes = [item.clause.source[a.at : a.until] for a in named.amounts if a.kind == "size" and a.sizes]
        refers = " ".join([named.thing, *sizes])
        told = (f"taken to mean “{refers}”, named just before",)
        stated = any(a.stated for a in item.amounts)
        item = replace(item, refers_to=refers, assumptions=told, supplied=named.supplied)
        if any(remark.span == named.span for remark in self.reading.remarks):
            self.reading.remarks = [remark for remark in self.reading.remarks if remark.span != named.span]
            kept = [replace(a, kind="size") if stated and a.kind == "count" else a for a in named.amounts]
            return replace(item, spans=(named.span, *item.spans), amounts=(*kept, *item.amounts))
        many = not stated and _MANY.search(item.clause.text)
        return replace(item, amounts=(*item.amounts, *named.amounts)) if many else item

    def _repeats(self, clause: Clause) -> bool:
        """Take "replace all four" after "replace the outlets" as their number; False for other work."""
        last = self._items[-1] if self._items else None
        verbs = {word for word in clause.words if is_verb(word)}
        if last is None or self._was_told or not verbs or not verbs <= set(last.clause.words):
            return False
        amounts = stated_in(clause.tokens)
        if amounts:
            self._set_amount(len(self._items) - 1, amounts[0], clause)
        else:
            self._items[-1] = replace(last, spans=(*last.spans, clause.span))
        return True

    def _goes_on(self, clause: Clause, named: _Named) -> bool:
        """Take "hook it up" and "haul it off" as part of the line before, unless the book knows it as other work."""
        if self._was_told or not self._items or self._items[-1].thing != named.thing or stated_in(clause.tokens):
            return False
        if re.search(r"\b(?:ones?|both|all)\b", clause.text, re.IGNORECASE):
            return False
        last = self._items[-1]
        fit = self.book.best(self.book.rank(f"{clause.text} {named.thing}"))
        before = self.book.best(self.book.rank(last.clause.text))
        other_work = any(kind_of_word(stem(word)) == "paint" for word in clause.words)
        if (fit is not None and (before is None or fit.item is not before.item)) or other_work:
            return False
        self._items[-1] = replace(last, spans=(*last.spans, clause.span))
        return True

    def _refers(self, clause: Clause) -> bool:
        """Whether "it", "them" or "the old one" stands for the thing, which the clause itself does not name."""
        fit = known(clause, self.book)
        if fit is not None and fit.sure and stated_in(clause.tokens):
            return False  # "sealcoat the whole thing, it's 14,000 square feet"
        if not IT.search(_NO_THING.sub(" ", clause.text)) and not _ALL_OF.search(clause.text):
            rest = bare(clause.tokens)
            lone = clause.joined and len(rest) == 1 and is_verb(rest[0].text)
            # "The fascia's soft at the corner, replace eight feet."
            verb = bool(rest) and is_verb(rest[0].text)
            more = [word for word in content_of(clause.tokens)[verb:] if canonical(word) not in PACKAGES]
            counts = (
                self._was_told
                and not more
                and (bool(stated_in(clause.tokens)) or (len(rest) > 1 and bool(content_of(clause.tokens))))
            )
            counts = counts and (verb or "new" in clause.words)
            return self._named is not None and (lone or counts)
        named = [word for word in content_of(clause.tokens) if not is_verb(word) and not is_participle(word)]
        return not [word for word in named if word not in ROOMS | _VAGUE]


def _supplied_in(clause: Clause) -> Clause:
    """Return the clause without "they're buying their own": what others supply."""
    said = LABOR_ONLY.search(clause.text)
    end = clause.span[0] + said.end() if said else 0
    return replace(clause, tokens=tuple(token for token in clause.tokens if token.start >= end) or clause.tokens[-1:])


def _only_says_a_price(clause: Clause, amounts: Sequence[Amount]) -> bool:
    """Whether a clause only says what the thing before it costs."""
    return any(a.kind == "money" for a in amounts) and all(word in _PRICING for word in content_of(clause.tokens))


def _names_anything(text: str) -> bool:
    return any(is_content(token.text) for token in tokenise(text) if token.kind == "word")


def _plain_stems(text: str) -> set[str]:
    return {stem(token.text) for token in tokenise(text) if token.kind == "word" and is_content(token.text)}


def _alike(one: Amount, other: Amount) -> bool:
    return other.unit is None or one.unit == other.unit or one.kind == other.kind


def _comparable(before: Amount, after: Amount) -> bool:
    """Whether a bare number may correct a measure: 8 hardly corrects 400 ft."""
    bare = after.unit is None and before.unit is not None
    return not bare or max(before.value, after.value) <= _FAR * min(before.value, after.value)


def _stems(tokens: Sequence[Token], amounts: Sequence[Amount]) -> list[str]:
    taken = {i for amount in amounts for i in range(amount.start, amount.end)}
    return list(terms_of(" ".join(t.text for i, t in enumerate(tokens) if i not in taken)).words)
