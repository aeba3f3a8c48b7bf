"""Tells a request from a remark: a clause is a line unless its words, or the lack of them, show otherwise."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jobs.kinds.estimate.book.book import choose
from jobs.kinds.estimate.book.stems import stem
from jobs.kinds.estimate.book.terms import terms_of
from jobs.kinds.estimate.book.vocabulary import LABOR_ONLY
from jobs.kinds.estimate.rules.amounts.amount_parser import read_amounts
from jobs.kinds.estimate.rules.amounts.numbers import read_number
from jobs.kinds.estimate.rules.clauses import remarks
from jobs.kinds.estimate.rules.clauses.phrases import (
    bare,
    begins_with_work,
    content_of,
    counts_elsewhere,
    is_only_place,
    stated_in,
)
from jobs.kinds.estimate.rules.tokens import tokenise
from jobs.kinds.estimate.rules.words import (
    ING_NOUNS,
    LITTLE,
    PREPOSITIONS,
    PRONOUNS,
    ROOMS,
    SIDES,
    is_content,
    is_participle,
    is_verb,
)
from store.estimates.units import PACKAGES, SQUARE_FEET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.book.book import Book, Fit
    from jobs.kinds.estimate.rules.amounts.amounts import Amount
    from jobs.kinds.estimate.rules.clauses.clauses import Clause

IT = re.compile(r"\b(?:it|them|those|these|one|ones|that|both|all of it)\b", re.IGNORECASE)
_DATES = "Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_LEADS = re.compile(r"^\W*(?:(?:the|and|but|so)\s+)*$", re.IGNORECASE)
_ASKS = frozenset(["needs", "need", "wants", "want", "gets", "should", "must", "replace", "install"])
_OF_A_SURFACE = re.compile(
    r"^\W*(?:(?:the|so|and)\s+)*(?:floor|room|wall|ceiling|roof|house|lot|yard|shower)'s\s", re.IGNORECASE
)
_DAMAGE = frozenset(
    ["damage", "dmg", "damaged", "mold", "leak", "leaking", "rot", "stain", "stains", "peeling", "cracked"]
)
_STREETS = frozenset(
    [
        "st",
        "street",
        "ave",
        "rd",
        "dr",
        "ln",
        "blvd",
        "duplex",
        "residence",
        "house",
        "job",
        "apt",
        "bldg",
        "building",
        "hoa",
    ]
)
_BEFORE_A_PLACE = PREPOSITIONS | SIDES | {"the"}
_LONG_TITLE, _LONG_HEADING, _MANY_ROOMS = 2, 3, 40
_SOLD = 0.45  # from this on an item may be meant


def remark_in(clause: Clause, book: Book) -> str | None:
    """Return the kind of remark that a clause is; None when it asks for work."""
    if remarks.TELLS_OF_OTHERS.match(clause.text) and remarks.remark_of(clause.text) is None:
        return remarks.CONDITION
    if (supply := LABOR_ONLY.search(clause.text)) is not None:
        return _supplied_by_others(clause, supply.start())
    return _by_cue(clause, book) or _by_what_is_missing(clause) or _by_its_place(clause, book)


def asks_for_work(clause: Clause, book: Book) -> bool:
    """Whether a clause has a verb of work, or names an item of the book."""
    return any(is_verb(word) or is_participle(word) for word in clause.words) or bool(book.rank(words_only(clause))[:1])


def known(clause: Clause, book: Book) -> Fit | None:
    """Return the item of the book that a clause means."""
    return book.best(book.rank(words_only(clause)))


def words_only(clause: Clause) -> str:
    """Return a clause for matching, without the amounts that count or measure it."""
    taken = {
        i
        for amount in read_amounts(clause.tokens)
        if amount.kind in {"count", "money", "area"} or amount.grip == "firm"
        for i in range(amount.start, amount.end)
    }
    return " ".join(token.text for i, token in enumerate(clause.tokens) if i not in taken)


def thing_of(clause: Clause) -> str:
    """Return the noun phrase a clause is about, in its own words: up to its place, without verb and amount."""
    amounts = read_amounts(clause.tokens)
    taken = {i for amount in amounts for i in range(amount.start, amount.end)}
    words: list[str] = []
    # "Zone two is eleven heads" is about the heads.
    counted = (a.end for a in amounts if a.kind == "count" and clause.tokens[a.start - 1].text in _HAVE and a.start)
    start = next(counted, 0)
    for i, token in enumerate(clause.tokens):
        if i < start:
            continue
        place = not words and i > 0 and token.text in ROOMS | SIDES and clause.tokens[i - 1].text in _BEFORE_A_PLACE
        if place or token.text.endswith("n't") or token.text in {"instead", "rather", "than"}:
            continue
        if token.kind == "word" and i not in taken and is_content(token.text):
            verb = (is_verb(token.text) and not words) or is_participle(token.text)
            words += [] if verb or remarks.STATE.fullmatch(token.text) else [clause.source[token.start : token.end]]
        elif words and (i in taken or token.text == "," or token.text in _ENDS_A_THING):
            break
    return _STATE_END.sub("", " ".join(words).replace("'s", ""))


_STATE_END = re.compile(
    r"(?:\s+(?:hums?|missing|bad|gone|broken|cracked|dead|shot|leaking|leaks|stuck|loose|won't|doesn't|not|firing|drain|only))+$",
    re.IGNORECASE,
)
_HAVE = frozenset({"is", "are", "has", "have", "got", "there's", "was", "were"})
_ENDS_A_THING = PREPOSITIONS | PRONOUNS | (LITTLE - {"and", "of"})


def _supplied_by_others(clause: Clause, at: int) -> str | None:
    """Tell "the owner supplies the tile" from "new toilets, owner supplies them": those are installed by us."""
    leads = _LEADS.match(clause.text[:at]) is not None
    return remarks.BY_OTHERS if leads and not remarks.INSTALLS.search(clause.text) else None


def _by_cue(clause: Clause, book: Book) -> str | None:
    """Return the kind its words say, unless others of its words ask for work after all."""
    kind = remarks.remark_of(clause.text)
    best = next(iter(book.rank(words_only(clause))), None) if kind == remarks.ADMIN else None
    asks = {
        remarks.ADMIN: best is not None and best.score >= _SOLD,
        remarks.TALK: begins_with_work(clause.tokens),
        remarks.CONDITION: begins_with_work(clause.tokens) or _counts_what_is_sold(clause, book),
        remarks.DONE: "needs" in clause.words,
        remarks.INCLUDED: any(amount.kind == "money" for amount in read_amounts(clause.tokens)),
    }
    if kind is None and _by_a_name(clause, book):
        kind = remarks.BY_OTHERS
    kind = None if kind == remarks.PLACE and stated_in(clause.tokens) else kind
    measured = kind == remarks.ADMIN and any(a.stated for a in _amounts(clause))
    return None if kind is None or asks.get(kind) or measured else kind


def _counts_what_is_sold(clause: Clause, book: Book) -> bool:
    """Whether a state is told of counted or measured things that the book has: "4 smoke detectors missing"."""
    counted = any(a.kind in {"area", "measure", "count"} for a in stated_in(clause.tokens))
    fit = choose(book.weigh(words_only(clause))) if counted else None
    return fit is not None and fit.sure


_BY_SOMEBODY = re.compile(r"\bby (?:the )?([a-z]{3,})\.?\W*$", re.IGNORECASE)
_BY_NOBODY = frozenset(
    [
        "hand",
        "noon",
        "code",
        "itself",
        "law",
        "spec",
        "foot",
        "hour",
        "day",
        "week",
        "piece",
        "yard",
        "size",
        "now",
        "then",
    ]
)
_BY_NAME = re.compile(rf"\b[Bb]y (?!{_DATES})[A-Z][A-Za-z&]+")


def _by_a_name(clause: Clause, book: Book) -> bool:
    """Whether a firm or a person does it: "rewire by Sparks Electric", "flue liner by sweep"."""
    if not clause.source.isupper() and _BY_NAME.search(clause.text) is not None:
        return True
    last = _BY_SOMEBODY.search(clause.text)
    word = last[1].lower() if last else ""
    if not word or read_number(tokenise(word), 0) is not None:
        return False
    return word not in ROOMS | SIDES | _BY_NOBODY and not book.knows(stem(word))


def _by_what_is_missing(clause: Clause) -> str | None:
    """Return the kind of a clause that names nothing to work on: "zero doors", "three bedrooms", "so, anyway"."""
    stated, named = stated_in(clause.tokens), content_of(clause.tokens)
    if clause.tokens[-1].text == ":" and named and len(named) <= _LONG_HEADING and not stated:
        return None if any(is_verb(word) for word in named) else remarks.PLACE
    if stated and all(amount.value == 0 for amount in stated):
        return remarks.EXCLUDED
    has_verb = any(is_verb(word) for word in clause.words)
    rooms = bool(named) and all(word in ROOMS for word in named)
    few = all(amount.value < _MANY_ROOMS for amount in stated)  # "eaves, one ninety" are feet
    counted = rooms and stated and few and not has_verb and not counts_elsewhere(clause.tokens)
    if (counted and not _packages(clause)) or _measures_what_comes(clause, stated, named):
        return remarks.CONDITION
    if is_only_place(clause.tokens) and not any(a.kind in {"count", "measure"} for a in _amounts(clause)):
        return remarks.PLACE
    if not named and not any(amount.kind != "size" for amount in _amounts(clause)):
        return None if IT.search(clause.text) and has_verb else remarks.TALK
    return None


def _measures_what_comes(clause: Clause, stated: Sequence[Amount], named: Sequence[str]) -> bool:
    """Whether a clause only says how large a surface is: "floor's forty five square feet"."""
    alone = len(named) == 1 and [amount.unit for amount in stated] == [SQUARE_FEET]
    return alone and _OF_A_SURFACE.match(clause.text) is not None


def _by_its_place(clause: Clause, book: Book) -> str | None:
    """Return the kind of a clause as the first line of notes, or as a sentence that only tells a state."""
    if clause.first and "\n" in clause.source.strip() and _is_title(clause, book):
        return remarks.PLACE
    if _is_of_the_title(clause, book):
        return remarks.PLACE
    if _is_spoken_heading(clause, book):
        return remarks.PLACE
    return remarks.CONDITION if _tells_a_state(clause, book) else None


def _is_spoken_heading(clause: Clause, book: Book) -> bool:
    """Whether a clause only turns to the next place: "Okay, mechanical room", "On the north slope", "Chimney first"."""
    works = any(is_verb(word) or is_participle(word) or word == "new" for word in clause.words)
    if works or read_amounts(clause.tokens):
        return False
    rest = bare(clause.tokens)
    turns = _TURNS.match(clause.text) or _TURNS_LATE.search(clause.text) or (rest and rest[0].text in PREPOSITIONS)
    return bool(turns) and len(content_of(clause.tokens)) <= _LONG_HEADING and known(clause, book) is None


_TURNS = re.compile(
    r"^\W*(?:okay|ok|so|alright|all right|now|next|then|first|moving on|starting|let's (?:start|go)|over)\b",
    re.IGNORECASE,
)
_TURNS_LATE = re.compile(r"\b(?:first|next|now)\W*$", re.IGNORECASE)


def _tells_a_state(clause: Clause, book: Book) -> bool:
    """Whether a clause only says how things are: a subject and a finite verb, and nothing asked for."""
    rest = bare(clause.tokens)
    if begins_with_work(clause.tokens) or _ASKS & set(clause.words):
        return False
    if not rest or remarks.TELLS_OF_OTHERS.match(clause.text):
        return True
    sold = known(clause, book) is not None
    if _counts_what_is_sold(clause, book):
        return False
    if remarks.STATE.search(clause.text):
        measured = [a for a in stated_in(clause.tokens) if a.kind in {"area", "measure"} or a.grip == "marked"]
        return not (measured and (sold or not book.items))
    first = read_amounts(rest)[:1]
    described = bool(first) and first[0].kind == "area" and first[0].start == 0
    counted = any(amount.kind in {"count", "measure"} for amount in _amounts(clause))
    damage = bool(_DAMAGE & set(clause.words)) and not stated_in(clause.tokens)
    return not sold and ((described and not counted) or damage)


def _is_title(clause: Clause, book: Book) -> bool:
    """Whether the first line of notes names the job: a person or street that no book knows."""
    words = [word for word in clause.words if is_content(word)]
    if not words or clause.tokens[0].kind != "word" or begins_with_work(clause.tokens) or is_verb(words[0]):
        return False
    if _STREETS & set(clause.words):
        return True
    first = terms_of(" ".join(words[:_LONG_TITLE])).words
    unknown = bool(first) and not any(book.knows(word) for word in first[: 1 + (len(first) > _LONG_TITLE)])
    plain = not any(amount.kind in {"count", "measure", "money"} for amount in _amounts(clause))
    named = plain or any(is_verb(word) for word in words[1:2])
    return unknown and words[0] not in ROOMS | ING_NOUNS and named and clause.text[:1].isupper()


_PROJECTS = re.compile(
    r"\b(?:rebuild|remodel\w*|reno\w*|addition|conversion|turn(?:over)?|make[- ]?ready|reroof|repaint|list|job|project|"
    r"residence|duplex|triplex|condo|prop(?:erty)?|bldg|building|walk-?thr(?:u|ough)|takeoff|estimate|bid|scope|"
    r"change-?out|punch|redo|loss|res|farm|ranch|plaza|lot|refresh|upgrades?|repairs|claim|unit|suite|apt|hoa|church|school|office|shop|store)\b",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"\b\d{1,6} (?:[NSEW]\.? )?(?:[A-Z][a-z]+ ){1,3}(?:st|street|ave|rd|dr|ln|blvd|ct|pl|way|cir|ter|hwy|pkwy)\b",
    re.IGNORECASE,
)
_NAMED_FOR = re.compile(r"(?:-|for|at|:|,) ?(?:the )?(?:\d|[A-Z][a-z]+)")
_SHORT_ADDRESS = re.compile(r"(?:(?<=^)|(?<=[-,] ))\d{2,5} ([A-Z][A-Za-z]+)(?= - |,| *$)")
_IN_BRACKETS = re.compile(r"\(([A-Z][a-z]+)\)\s*$")
_LEAST_LINES, _SHORT_TITLE = 3, 4


def _is_of_the_title(clause: Clause, book: Book) -> bool:
    """Whether a clause stands in the first line of notes, and that line names the job: whose it is, where, what kind.

    A recording begins with a sentence of that kind: "Garage conversion."
    """
    lines = clause.source.strip().splitlines()
    if clause.source.lstrip()[:1] in "-*•" or clause.span[0] > clause.source.find(lines[0]) + len(lines[0]):
        return False
    if len(lines) < _LEAST_LINES:
        alone = clause.first and not stated_in(clause.tokens) and not is_verb(clause.words[0] if clause.words else "")
        fit = known(clause, book)
        room = len(clause.words) <= _LONG_HEADING and clause.words[-1:] and clause.words[-1] in ROOMS
        told = bool(room) or _PROJECTS.search(clause.text) is not None
        return alone and len(lines) == 1 and told and (fit is None or not fit.sure)
    title = _without_address(lines[0], book)
    amounts = read_amounts(tokenise(title))
    if any(a.stated or a.kind == "money" for a in amounts):
        return False
    best = book.best(book.rank(title))
    sold = best is not None and best.sure
    words = [token.text for token in tokenise(title) if token.kind == "word"]
    short = len(words) <= _SHORT_TITLE and bool(words) and not is_verb(words[0]) and not sold
    person = _IN_BRACKETS.search(title)
    if person is not None and words and not is_verb(words[0]) and not book.knows(stem(person[1].lower())):
        return True  # "Bath fan + attic (Nguyen)"
    named = short or _PROJECTS.search(title) is not None or title != lines[0]
    return named and (not sold or _NAMED_FOR.search(title) is not None)


def _without_address(line: str, book: Book) -> str:
    """Return a line with "- Home" for the address in it: "41 Quince Ct", "212 Maple", "88 ALDER"."""
    line = _ADDRESS.sub("- Home", line)
    short = _SHORT_ADDRESS.search(line)
    return line if short is None or book.knows(stem(short[1].lower())) else line.replace(short[0], "- Home", 1)


def _amounts(clause: Clause) -> list[Amount]:
    return read_amounts(clause.tokens)


def _packages(clause: Clause) -> bool:
    return any(amount.unit in PACKAGES - {"room"} for amount in _amounts(clause))
