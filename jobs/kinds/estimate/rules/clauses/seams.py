"""Tells whether a speaker begins anew at a comma, a dash or an "and", or says more of the thing before it.

A `Seam` is asked one question after the other; the first that can answer does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from jobs.kinds.estimate.book.book import choose
from jobs.kinds.estimate.book.stems import stem
from jobs.kinds.estimate.book.vocabulary import LABOR_ONLY
from jobs.kinds.estimate.rules.amounts.amount_parser import read_amounts
from jobs.kinds.estimate.rules.amounts.units import read_unit
from jobs.kinds.estimate.rules.clauses import remarks
from jobs.kinds.estimate.rules.clauses.phrases import (
    PARTICLES,
    PLACES,
    bare,
    begins_with_work,
    content_of,
    counts_elsewhere,
    is_only_place,
    stated_in,
    text_of,
    words_in,
)
from jobs.kinds.estimate.rules.words import (
    LITTLE,
    NOUN_TOO,
    PREPOSITIONS,
    PRONOUNS,
    is_participle,
    is_verb,
    means_removal,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.book.book import Book, Fit
    from jobs.kinds.estimate.rules.amounts.amounts import Amount
    from jobs.kinds.estimate.rules.tokens import Token

JOINTS = frozenset({"and", "&", "+", "plus", "then", "also", "but", "so"})
_WE_INSTALL = re.compile(
    r"^\W*(?:we|i)(?:'ll| will)? (?:install|hang|set|hook up|mount|put in)(?: it| them| those)?\W*$"
)
_WE = frozenset({"we", "we'll", "i", "i'll", "let's", "we're", "i'm"})
_THEY = frozenset({"that's", "it's", "they're"})
_SUBJECTS = frozenset(["i", "i'll", "he", "she", "they", "we", "don't", "do", "the", "leave", "keep", "that's", "you"])
_PREDICATES = frozenset(
    ["is", "are", "was", "did", "do", "don't", "will", "has", "have", "i'll", "touch", "keep", "leave", "wants", "said"]
)
_ARTICLES = frozenset({"a", "an", "new", "another", "replace"})
_STAYS = frozenset({remarks.BY_OTHERS, remarks.DONE, remarks.EXCLUDED, remarks.CONDITIONAL})
_LISTING = frozenset({remarks.BY_OTHERS, remarks.EXCLUDED, remarks.INCLUDED, remarks.OPTION})
_FEW, _LONG_HEADING = 2, 3
# From this on several items fit a piece alike: it names a thing, though not which.
_NAMES_A_THING = 0.7
_AT_SOMEBODYS = re.compile(r"^\W*(?:(?:ok|okay|so|alright|um)\W+)*at (?:the )?[a-z]+(?:'s|s)\W*$")
# What these count is a part of the thing before them.
_PARTS = frozenset(
    [
        "opening",
        "openings",
        "place",
        "places",
        "spot",
        "spots",
        "location",
        "locations",
        "area",
        "areas",
        "side",
        "sides",
        "wall",
        "walls",
        "coat",
        "coats",
        "layer",
        "layers",
        "room",
        "rooms",
        "total",
        "story",
        "stories",
        "section",
        "sections",
        "run",
        "runs",
        "end",
        "ends",
        "floor",
        "floors",
        "corner",
        "corners",
    ]
)


def begins_anew(before: Sequence[Token], piece: Sequence[Token], joint: str, book: Book) -> bool:
    """Whether `piece`, which `joint` leads to, is a clause of its own."""
    if not before or not piece:
        return False
    seam = Seam(tuple(before), tuple(piece), joint, book)
    answers = (question(seam) for question in _QUESTIONS)
    return next((answer for answer in answers if answer is not None), False)


def another_begins(before: Sequence[Token], piece: Sequence[Token], book: Book) -> bool:
    """Whether an amount without a joint before it begins another item: "EV outlet 50a in garage 25' of emt"."""
    return Seam(tuple(before), tuple(piece), "", book).probably_another()


@dataclass(frozen=True)
class Seam:
    """The tokens before a joint, and those behind it up to the next one."""

    before: tuple[Token, ...]
    piece: tuple[Token, ...]
    joint: str
    book: Book

    @cached_property
    def text(self) -> str:
        """The piece as text."""
        return text_of(self.piece)

    @cached_property
    def text_before(self) -> str:
        """The text before it."""
        return text_of(self.before)

    @cached_property
    def named(self) -> list[str]:
        """The words of the piece that may name a thing."""
        return content_of(self.piece)

    @cached_property
    def named_before(self) -> list[str]:
        """The words before it that may name a thing."""
        return content_of(self.before)

    @cached_property
    def amounts(self) -> list[Amount]:
        """The amounts of the piece that may be a quantity."""
        return stated_in(self.piece)

    @property
    def counted_before(self) -> bool:
        """Whether the piece before it has its quantity."""
        return bool(stated_in(self.before))

    @property
    def leads(self) -> bool:
        """Whether the piece begins with its quantity."""
        fillers = len(self.piece) - len(bare(self.piece))
        return bool(self.amounts) and self.amounts[0].start <= fillers and self.amounts[0].end < len(self.piece)

    def best(self, text: str) -> Fit | None:
        """Return the item of the book that a text means."""
        return self.book.best(self.book.rank(text))

    # Questions: each answers, or leaves it to the next.

    def corrects(self) -> bool | None:
        """Keep "no wait, three skylights" in one piece, and begin anew for a correction or "scratch that"."""
        if remarks.CORRECTING.fullmatch(self.text_before + " "):
            return False
        says_more = self._says_more()
        if says_more is not None:
            return says_more
        if self.joint == "," and remarks.SCRATCH.search(self.text_before) and not self.named_before:
            return True
        if remarks.CORRECTING.match(self.text + " ") or remarks.SCRATCH.match(self.text):
            return bool(self.named_before) or self.joint == ","
        return None

    def follows_a_place(self) -> bool | None:
        """Begin anew behind a heading, and never behind a filler."""
        place = self.joint in {":", "-"} and is_only_place(self.before, counted=True)
        if place or (self.joint == "," and _AT_SOMEBODYS.match(self.text_before)):
            return True
        if not self.named_before and not self.counted_before:
            return False
        listed = self.joint in JOINTS | {","} and self._is_listed_in_a_remark()
        if listed or self.joint == "so":
            # "Both springs are broken, so we'll do a new pair."
            return not listed and (begins_with_work(self.piece) or self.leads or self.piece[0].text in _WE)
        if self.joint == ":" and remarks.remark_of(self.text_before + ":") is not None:
            return False
        heads = self.joint == ":" and len(self.named_before) <= _LONG_HEADING and not self.counted_before
        if heads and self.named and not begins_with_work(self.before) and remarks.remark_of(self.text) is None:
            return True
        return None

    def asks_for_work(self) -> bool | None:
        """Begin anew with a verb of work, unless it shares its object with the one before."""
        if self.joint not in JOINTS | {","} or not begins_with_work(self.piece):
            return None
        lone = len(bare(self.piece)) == 1
        priced = not self.amounts and any(amount.kind == "money" for amount in read_amounts(self.piece))
        if lone and self.joint == "," and not begins_with_work(self.before):
            return False  # "dead ash near the well, remove"
        # "Toilet, pull and reset, $150."
        lone = (lone or (priced and len(self.named) == 1)) and self.joint in JOINTS
        if lone and (not begins_with_work(self.before) or any(means_removal(token.text) for token in self.before)):
            return False
        return bool(self.named_before or self.counted_before) and not self._shares_its_object()

    def tells_something(self) -> bool | None:
        """Begin anew with a sentence or a remark of its own."""
        kind = remarks.remark_of(self.text)
        kind = None if kind == remarks.PLACE else kind
        if kind == remarks.TALK:
            return self.counted_before or begins_with_work(self.before)
        if self.joint == "but" or self._is_a_sentence():
            return True
        if self.joint == ":":
            return False
        if self.joint in {",", "-"} and kind is not None and any(word not in PLACES for word in self.named):
            return self.joint == "," or self.names_its_own_thing()
        return None

    def asks_for_a_new_one(self) -> bool | None:
        """Begin anew with "so new one" and "new 1/2 hp" behind a state of things."""
        first = bare(self.piece)[:1]
        new = bool(first) and first[0].text == "new" and not self.named
        return True if new and remarks.STATE.search(self.text_before) else None

    def counts_again(self) -> bool | None:
        """Tell "three in the kitchen, two in the bath" from "five detectors, one in each bedroom"."""
        if counts_elsewhere(self.piece) and self.counted_before:
            return any(word in PLACES for word in self.named_before)
        sized = not self.named and any(amount.kind == "size" for amount in read_amounts(self.piece))
        if sized and self.leads and self.amounts[0].kind == "count" and self.counted_before:
            return self.joint in JOINTS | {","}  # "3 switches, 1 3-way"
        if not self.named or all(word in PLACES | _PARTS for word in self.named):
            return False
        first = bare(self.piece)[:1]
        if first and first[0].text in {"with", "w/"} and self.joint == "," and self.names_its_own_thing():
            return True  # "a water heater, with the pan"
        closed = PREPOSITIONS | (PRONOUNS - {"one"})
        return False if not first or first[0].text in closed or is_participle(first[0].text) else None

    def is_a_size(self) -> bool | None:
        """Take a size as part of the thing before it; "new toilet, vanity 36in" are two things."""
        sizes = [amount for amount in read_amounts(self.piece) if not amount.stated]
        if self.leads or not sizes or self._has_article() or self._is_known():
            return None
        if self.counted_before and any(amount.kind in {"count", "measure"} for amount in self.amounts):
            return None  # "frame 46 lf, 1/2 board 24 sheets"
        first = read_amounts(self.piece)[0]
        lists_new = any(token.text == "new" for token in self.before[:_FEW])
        return lists_new and first.last and bool(content_of(self.piece[: first.start]))

    def begins_with_its_amount(self) -> bool | None:
        """Begin anew with "3 window sashes", and not with "10 openings" or "40 sq ft to the gate"."""
        if not self.leads or self.amounts[0].kind not in {"count", "measure"}:
            ends = bool(self.amounts) and self.amounts[-1].last and self.amounts[-1].kind in {"count", "measure"}
            own = ends and bool(content_of(self.piece[: self.amounts[-1].start])) and self.joint in {",", "/", "then"}
            return True if own and self.counted_before else None
        first = self.amounts[0]
        thing = [word for word in content_of(self.piece[first.end :]) if word not in _PARTS]
        if not thing or self.piece[first.end].text in PREPOSITIONS:
            return False
        if first.kind == "measure" and not self.counted_before and self.piece[first.end - 1].text == "of":
            return not self.named_before  # "wash the whole house, 2400 square feet of siding"
        return self.joint != "-" or self.counted_before or self.names_its_own_thing()

    def names_another(self) -> bool:
        """Begin anew with an article, or with another item of the book."""
        if self._has_article() and self.joint in JOINTS | {","}:
            return True
        return self.names_its_own_thing() and (self.joint != "&" or not begins_with_work(self.before))

    # What the answers rest on.

    def names_its_own_thing(self) -> bool:
        """Whether the book knows the piece as another item than the piece before it."""
        if (self.joint == "," or self.amounts) and self.probably_another():
            return True
        mine, theirs = self.best(self.text), self.best(self.text_before)
        joined = self.best(f"{self.text_before}, {self.text}")
        if mine is None or not mine.sure:
            ranked = self.book.rank(self.text)
            names = bool(ranked) and ranked[0].score >= _NAMES_A_THING
            return theirs is not None and mine is None and joined is None and names
        if theirs is None:
            return joined is None or joined.item is not mine.item or joined.score < mine.score
        return mine.item is not theirs.item and (joined is None or joined.score < max(mine.score, theirs.score))

    def probably_another(self) -> bool:
        """Whether the piece and the words before it probably mean two items that share no word."""
        mine, theirs = (choose(self.book.weigh(text)) for text in (self.text, self.text_before))
        if mine is None or theirs is None:
            return False
        return not set(mine.item.terms.words) & set(theirs.item.terms.words)

    def _says_more(self) -> bool | None:
        """Whether the piece says more of the thing before it: "no charge", "not painted", "the owner did that"."""
        if remarks.CORRECTING.fullmatch(self.text + " "):
            return None
        if _WE_INSTALL.match(self.text):
            return False  # "thermostat by owner, we install"
        if LABOR_ONLY.search(self.text):
            shared = set(map(stem, self.named)) & set(map(stem, self.named_before))
            return False if not self.named[1:] or shared else None
        words = words_in(self.piece)
        without = words[:1] and words[0] in {"no", "without", "w/o"} and len(self.named) <= _FEW
        if words[:1] == ["not"] or (without and not begins_with_work(self.piece[1:])):
            return False if self.named_before else None
        if remarks.NO_CHARGE.search(self.text) and len(self.named) <= _FEW:
            return False
        stays = remarks.remark_of(self.text) in _STAYS and bool(set(words) & (PRONOUNS | _THEY))
        return False if stays and not begins_with_work(self.before) else None

    def _is_listed_in_a_remark(self) -> bool:
        """Whether the piece goes on with a list that a remark began: "by others: paint, patching, power"."""
        began = remarks.remark_of(self.text_before.split(",")[0])
        if began in _LISTING and any(token.text == ":" for token in self.before):
            return True
        first = bare(self.piece)[:1]
        noun = bool(first) and (first[0].text in NOUN_TOO or first[0].text.endswith("ing"))
        plain = not self.amounts and (noun or not begins_with_work(self.piece)) and not self._is_a_sentence()
        return began in _LISTING and plain and self.joint != "but" and remarks.remark_of(self.text) is None

    def _shares_its_object(self) -> bool:
        """Whether two verbs share the thing behind the second: "scrape and prime the north side"."""
        words = [word for word in words_in(bare(self.before)) if word not in PARTICLES]
        only_verbs = all(is_verb(word) or word in LITTLE for word in words)
        return self.joint in JOINTS and only_verbs and not self.counted_before and not (set(words) & PRONOUNS)

    def _is_a_sentence(self) -> bool:
        """Whether the piece has a subject and a verb of its own: "the owner did that", "I'll know then"."""
        words = words_in(self.piece)
        wanted = bool(words) and words[0] in _WE - {"i'm"} and bool(self.named)
        if wanted and (self.amounts or begins_with_work(self.piece)):
            return True
        return bool(words) and words[0] in _SUBJECTS and bool(set(words) & (_PREDICATES | _THEY | {"not"}))

    def _has_article(self) -> bool:
        rest = bare(self.piece)
        text = rest[0].text if rest else ""
        if text in {"a", "an"} and read_unit(rest, 1)[0] is not None:
            return False  # "a pair for each door"
        return text in _ARTICLES or (
            text == "the" and self.counted_before and (bool(self.amounts) or self.joint in JOINTS)
        )

    def _is_known(self) -> bool:
        best = self.best(self.text)
        return best is not None and best.sure


_QUESTIONS = (
    Seam.corrects,
    Seam.follows_a_place,
    Seam.asks_for_work,
    Seam.tells_something,
    Seam.asks_for_a_new_one,
    Seam.counts_again,
    Seam.is_a_size,
    Seam.begins_with_its_amount,
    Seam.names_another,
)
