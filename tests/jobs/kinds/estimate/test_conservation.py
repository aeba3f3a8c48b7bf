"""Nothing that was typed or said vanishes: each word is in a line's quote or named in the coverage."""

from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.estimates.visits import demo_visits
from jobs.kinds.estimate.book.book import Book, Item
from jobs.kinds.estimate.evidence import normal
from jobs.kinds.estimate.rules.lines import read_lines
from jobs.kinds.estimate.rules.passages import Passage, of_transcript
from jobs.kinds.estimate.rules.reader import Uncovered, read_passage, require_covered
from tests.jobs.kinds.estimate.material import transcript

BOOK = Book(
    [
        Item(uuid4(), description, unit)
        for description, unit in (
            ("GFCI outlet", "each"),
            ("Paint ceiling", "sq ft"),
            ("Restripe parking stall", "each"),
            ("Tuckpoint brick", "sq ft"),
            ("Expansion tank", "each"),
        )
    ]
)
_PIECES = [
    "replace",
    "install",
    "paint",
    "a",
    "the",
    "three",
    "12",
    "by",
    "14",
    "feet",
    "of",
    "gutter",
    "outlets",
    "no",
    "make",
    "that",
    "fifty",
    ",",
    ".",
    "?",
    "and",
    "not",
    "don't",
    "it",
    "them\n",
    "",
    "",
    "",
    "kitchen:",
    "$5",
    "1/2",
    "-",
    "scratch",
    "that",
    "20",
    "amp",
    "0",
    "all",
    "two",
    "half",
    "dozen",
    "new",
    "doors",
    "is",
    "(",
    ")",
    'x"',
    "maybe",
    "1)",
    "2.",
    "-",
    "*",
    "\n",
    "by",
    "owner",
    "others\n",
    "",
    "",
    "",
    "if",
    "needed",
    "option",
    "optional",
    "done",
    "already",
    "call",
    "monday",
    "555-1234",
    "ok",
    "thanks",
    "(2)",
    "x2",
    "ea",
    "approx.",
    "zzz",
    "qwerty",
    "§",
    "✓",
    "6/12",
]


@given(st.lists(st.sampled_from(_PIECES), max_size=40).map(" ".join))
@example("1. 2) 3. fans")
@example("? 1. x")
@example("20 ) replace")
@example("1)")
def test_any_notes_are_held_by_lines_and_remarks(text: str) -> None:
    """By construction: the spans of a passage's items and remarks cover each word and number of it."""
    reading = read_passage(text, BOOK)
    spans = [span for item in reading.items for span in item.spans] + [remark.span for remark in reading.remarks]
    require_covered(text, spans)


@given(st.text(max_size=200))
def test_any_text_at_all_is_held(text: str) -> None:
    """Whatever the script, nothing is dropped and nothing fails."""
    read_passage(text, BOOK)


@given(st.lists(st.sampled_from(_PIECES), max_size=40).map(" ".join))
def test_any_speech_is_held(text: str) -> None:
    """What an ear may have mistaken is held as well."""
    read_passage(of_transcript(transcript(text)).text, BOOK, spoken=True)


def test_a_lost_word_fails_loudly() -> None:
    """The check itself: a word outside of all spans is a fault that is raised, never passed over."""
    with pytest.raises(Uncovered, match="gutter"):
        require_covered("Replace gutter", [(0, 7)])


def test_every_word_of_the_authored_visits_is_quoted_or_told() -> None:
    """From the source to what the contractor reads: quotes and coverage hold each typed word."""
    for visit in demo_visits().visits:
        reading = read_lines([Passage("notes", visit.notes)], BOOK)
        shown = [e.quote or "" for line in reading.lines for e in line.evidence]
        words = set(normal(" ".join([*shown, *reading.told])).split())
        assert set(normal(visit.notes).split()) <= words


DROPPED = [
    "Permit 350\nDumpster 20 yd\nLabor 16 hrs @ 85\nReplace toilet",
    "Kitchen: 3 outlets, 1 switch, paint ceiling 12x14\nHall bath - new toilet, vanity 36in",
    "Reemplazar tres enchufes en la cocina\nInstall ceiling fan",
    "New water heater, 50 gallon\nInstall 12 m of baseboard\nPaint 20 m2 of wall",
]


@pytest.mark.parametrize(("notes", "lines"), list(zip(DROPPED, (4, 5, 2, 3), strict=True)))
def test_notes_without_verbs_are_lines(notes: str, lines: int) -> None:
    """Lists, prices, rooms and a line of Spanish are what they are to a contractor."""
    assert len(read_lines([Passage("notes", notes)], BOOK).lines) == lines
