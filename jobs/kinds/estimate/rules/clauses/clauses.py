"""Cuts a passage into clauses: each says one thing, and together they hold every token of the source.

A new clause begins at a full stop or a new line, and inside a sentence where a speaker could begin anew (`seams`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from jobs.kinds.estimate.book.stems import singular
from jobs.kinds.estimate.rules.amounts.amount_parser import read_amounts
from jobs.kinds.estimate.rules.clauses.phrases import (
    content_of,
    has_verb_of_its_own,
    is_only_place,
    stated_in,
    verb_of,
    words_in,
)
from jobs.kinds.estimate.rules.clauses.remarks import BY_OTHERS, EXCLUDED, PLACE, SCRATCH, remark_of
from jobs.kinds.estimate.rules.clauses.seams import JOINTS, another_begins, begins_anew
from jobs.kinds.estimate.rules.tokens import tokenise
from jobs.kinds.estimate.rules.words import FILLERS, NOUN_TOO, PREPOSITIONS, PRONOUNS, is_verb
from store.estimates.units import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobs.kinds.estimate.book.book import Book
    from jobs.kinds.estimate.rules.tokens import Token

_BULLETS = frozenset("-*>•+")
_CLOSING = frozenset({",", ":", "-", "/"})
_LONGEST_LEAD, _LONGEST_NUMBER = 12, 2
_LONG_HEADING, _PAIR, _LIST = 3, 2, 3
_RUN_ON = 25  # a sentence of so many words without a comma was dictated without punctuation
_SUBJECTS = frozenset(
    [
        "they",
        "they're",
        "there's",
        "that's",
        "it's",
        "i",
        "we",
        "uh",
        "um",
        "okay",
        "also",
        "the",
        "new",
        "then",
        "next",
    ]
)
_LONGEST = 200  # reading looks ahead, so an endless sentence would take the square of its length
# What a speech model writes for a number that stands before its thing: "paint to interior doors".
_SOUNDS_LIKE = {"to": 2, "too": 2, "for": 4}


@dataclass(frozen=True, slots=True)
class Clause:
    """Tokens that say one thing. `place` is the heading it stands under; `joined` says that "and" led to it.

    `verb` is the one its list began with: in "paint three doors, two windows" both are painted.
    """

    source: str
    tokens: tuple[Token, ...]
    place: str = ""
    question: bool = False
    joined: bool = False
    first: bool = False
    verb: str = ""

    @property
    def span(self) -> tuple[int, int]:
        """The characters from the first token to the last."""
        return self.tokens[0].start, self.tokens[-1].end

    @property
    def text(self) -> str:
        """The clause in its own words."""
        start, end = self.span
        return self.source[start:end]

    @property
    def words(self) -> list[str]:
        """The words, in lower case."""
        return words_in(self.tokens)


@dataclass(frozen=True, slots=True)
class _Block:
    """A sentence or a line."""

    tokens: list[Token]
    question: bool
    on_new_line: bool


def clauses_of(text: str, book: Book, *, spoken: bool = False) -> list[Clause]:
    """Cut a passage into its clauses; `spoken` makes up for mistakes of hearing."""
    made: list[Clause] = []
    heading, stands_alone = "", False
    numbers = _list_numbers(text)
    for block in _blocks(text, numbers):
        tokens = _by_ear(block.tokens) if spoken else block.tokens
        below = stands_alone and (made[-1].text.rstrip().endswith(":") or tokens[0].text in _BULLETS)
        heading = "" if block.on_new_line and not below else heading
        parts = _by_others_together(list(_parts(_unnumbered(text, tokens, numbers), book)))
        verb = ""
        for part, joined in parts:
            own = verb_of(part)
            tells = any(token.text in {"is", "are", "was", "were"} for token in part)
            verb = own or ("" if has_verb_of_its_own(part) or tells else verb)
            inherited = "" if own else verb
            verb = verb if not own or content_of(part)[1:] else ""  # "frame 46 lf" has no list to share its verb with
            made.append(Clause(text, tuple(part), heading, block.question, joined, not made, inherited))
            leads = len(parts) == 1 or part is not parts[-1][0] or part[-1].text == ":"
            if not spoken and leads and (is_only_place(part) or _is_a_colon_heading(part)):
                heading = " ".join(t.text for t in part if t.kind in {"word", "number"} and t.text not in FILLERS)
                stands_alone = len(parts) == 1
            elif remark_of(made[-1].text) == PLACE:
                heading = ""
    return made


def _by_others_together(parts: list[tuple[list[Token], bool]]) -> list[tuple[list[Token], bool]]:
    """Keep "drywall patch, paint and power by others" in one: the end of a bare list is said of all of it."""
    if len(parts) <= 1:
        return parts
    said = remark_of(" ".join(token.text for token in parts[-1][0]))
    bare_list = all(not stated_in(part) and not verb_of(part) for part, _ in parts[:-1])
    listed = len(parts) > _PAIR or parts[-1][1]
    if said not in {BY_OTHERS, EXCLUDED} or not bare_list or not listed or _has_heading(parts):
        return parts
    return [([token for part, _ in parts for token in part], parts[0][1])]


def _has_heading(parts: list[tuple[list[Token], bool]]) -> bool:
    """Whether a heading stands among the parts."""
    return any(part[-1].text in {":", "-"} for part, _ in parts[:-1])


def _is_a_colon_heading(part: Sequence[Token]) -> bool:
    """Whether a few words before a colon head the rest: "Z4:", "Water heater:"."""
    if part[-1].text != ":" or len(content_of(part)) > _LONG_HEADING or stated_in(part) or verb_of(part):
        return False
    return remark_of(" ".join(token.text for token in part)) is None


def is_numbering(text: str, token: Token) -> bool:
    """Whether a token only numbers a line of a list: "2)", "3."; or "2" where all lines are numbered."""
    if token.kind == "number" and token.start in _list_numbers(text):
        return True
    led = text[max(0, token.start - _LONGEST_LEAD) : token.start].rsplit("\n", 1)
    first = len(led) > 1 or token.start < _LONGEST_LEAD
    short = token.end - token.start <= _LONGEST_NUMBER and (token.kind == "number" or token.end - token.start == 1)
    return first and not led[-1].strip(" \t-*•>") and text[token.end : token.end + 1] in {".", ")"} and short


@lru_cache(maxsize=64)
def _list_numbers(text: str) -> frozenset[int]:
    """Return where lines are numbered without a mark: three or more in a row that begin with 1, 2, 3 ..."""
    found: list[int] = []
    longest: list[int] = []
    for match in re.finditer(r"^[ \t]*(\d{1,2})(?=[ \t]+\S)", text, re.MULTILINE):
        if int(match[1]) != len(found) + 1:
            found = []
        found = [*found, match.start(1)] if int(match[1]) == len(found) + 1 else found
        longest = max(longest, found, key=len)
    return frozenset(longest if len(longest) >= _LIST else ())


def _blocks(text: str, numbers: frozenset[int]) -> Iterator[_Block]:
    """Yield each sentence or line; endless ones in pieces."""
    block: list[Token] = []
    new_line = True
    for token in tokenise(text):
        if token.kind == "stop":
            numbering = len(block) == 1 and (block[0].start in numbers or is_numbering(text, block[0]))
            if block and not numbering:
                yield _Block(block, "?" in token.text and "??" not in token.text, new_line)
            new_line = "\n" in token.text or (new_line and (not block or numbering))
            block = []
        else:
            block.append(token)
            if len(block) == _LONGEST:
                yield _Block(block, False, new_line)  # noqa: FBT003 - no question
                block, new_line = [], False
    if block:
        yield _Block(block, False, new_line)  # noqa: FBT003


def _unnumbered(source: str, block: list[Token], numbers: frozenset[int]) -> list[Token]:
    """Drop "2)" from the front of a list's line, and "2" where its lines are only numbered."""
    if len(block) > 1 and block[0].start in numbers:
        return block[1:]
    marked = len(block) > 1 and block[1].text == ")" and is_numbering(source, block[0])
    return block[2:] if marked else block


def _parts(block: list[Token], book: Book) -> Iterator[tuple[list[Token], bool]]:
    """Cut a sentence where a speaker begins anew; yields the tokens and whether "and" led there."""
    start, joined = 0, False
    amounts = read_amounts(block)
    inside = {i for amount in amounts for i in range(amount.start + 1, amount.end)}
    measures = {a.start for a in amounts if a.kind == "measure" and a.grip == "firm"}
    forced = _withdrawals(block)
    breaths = _breaths(block) - inside
    for i in range(1, len(block)):
        joint = "" if i in inside else _joint(block, i)
        measured = not joint and i in measures
        if start < i and (
            i in forced or (measured and another_begins(block[start:i], _next_piece(block, i, breaths), book))
        ):
            yield block[start:i], joined
            start, joined = i, False
            continue
        says_something = any(token.kind not in {"mark", "stop", "by"} for token in block[start:i])
        if not joint and i in breaths and start < i and says_something:
            if begins_anew(block[start:i], _next_piece(block, i, breaths), ",", book):
                yield block[start:i], joined
                start, joined = i, False
        elif joint and says_something and begins_anew(block[start:i], _next_piece(block, i + 1, breaths), joint, book):
            cut = i + 1 if joint in _CLOSING else i
            yield block[start:cut], joined
            start, joined = cut, joint in JOINTS
    if start < len(block):
        yield block[start:], joined


def _breaths(block: Sequence[Token]) -> set[int]:
    """Return where a sentence without any punctuation could begin anew: at numbers, verbs and subjects."""
    if len(block) < _RUN_ON or any(token.text in {",", ";", ":"} for token in block):
        return set()
    amounts = {amount.start for amount in read_amounts(block)}
    return {i for i, token in enumerate(block) if i and (i in amounts or _may_begin(block, i))}


def _may_begin(block: Sequence[Token], i: int) -> bool:
    word, before = block[i].text, block[i - 1].text
    if word in _SUBJECTS:
        return before not in PREPOSITIONS | JOINTS
    verb = is_verb(word) and word not in NOUN_TOO and not word.endswith("ing")
    return verb and before not in PREPOSITIONS | PRONOUNS | {"to", "the", "a", "we", "i", "they", "not", "don't", "be"}


def _joint(block: Sequence[Token], i: int) -> str:
    """Return the comma, dash or conjunction at `i`, where something may begin; "" for any other token."""
    token = block[i]
    if _joins_verbs(block, i):
        return ""
    if token.text in JOINTS and token.kind in {"word", "mark"}:
        return token.text
    spaced = i + 1 < len(block) and block[i - 1].end < token.start and token.end < block[i + 1].start
    return token.text if token.text in {",", ":"} or (token.text in {"-", "/"} and spaced) else ""


def _joins_verbs(block: Sequence[Token], i: int) -> bool:
    """Whether two verbs share the object behind the second: "tape and float 1100 feet", "reseal / caulk windows"."""
    if i + 2 >= len(block) or i == 0 or block[i].text not in JOINTS | {"/"}:
        return False
    leads = i == 1 or block[i - 2].text in FILLERS | JOINTS | {",", "-", ":", ";"}
    first, second = block[i - 1].text, block[i + 1].text
    object_follows = block[i + 2].kind in {"word", "number"} and block[i + 2].text not in JOINTS
    return leads and object_follows and is_verb(first) and is_verb(second) and not first.endswith("ing")


def _next_piece(block: Sequence[Token], start: int, breaths: set[int]) -> list[Token]:
    """Return the tokens from `start` up to the next place where something may begin."""
    ends = (i for i in range(start + 1, len(block)) if i in breaths or _joint(block, i))
    return list(block[start : next(ends, len(block))])


def _withdrawals(block: Sequence[Token]) -> set[int]:
    """Return where "scratch that" begins and ends: it stands by itself, with punctuation and without."""
    text = " ".join(token.text for token in block)
    cuts: set[int] = set()
    for match in SCRATCH.finditer(text):
        cuts |= {text[: match.start()].count(" "), text[: match.end()].count(" ") + 1}
    return cuts


def _by_ear(block: list[Token]) -> list[Token]:
    """Read the "to" of "paint to interior doors" as two, and "for the feet" as forty feet."""
    heard = list(block)
    for i in range(1, len(block) - 1):
        word, following = block[i].text, block[i + 1 : i + 4]
        if word not in _SOUNDS_LIKE or not is_verb(block[i - 1].text):
            continue
        if (
            word == "for"
            and following[0].text == "the"
            and canonical(following[1 if len(following) > 1 else 0].text) in {"ft", "lf"}
        ):
            forty = replace(block[i], kind="number", value=Decimal(40), text="forthe", end=following[0].end)
            return [*heard[:i], forty, *_by_ear(block[i + 2 :])]
        counted = following[0].kind == "word" and not is_verb(following[0].text)
        if counted and any(singular(token.text) != token.text for token in following):
            heard[i] = replace(block[i], kind="number", value=Decimal(_SOUNDS_LIKE[word]))
    return heard
