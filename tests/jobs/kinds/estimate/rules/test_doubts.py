"""Readings that are not certain are flagged, and what shows no work makes no line."""

from uuid import uuid4

import pytest

from benchmarks.estimates.__main__ import BOOK
from benchmarks.estimates.visits import read_prices
from jobs.kinds.estimate.book.book import Book, Item
from jobs.kinds.estimate.rules.lines import Reading, read_lines
from jobs.kinds.estimate.rules.passages import Passage, of_transcript
from tests.jobs.kinds.estimate.material import transcript

PRICES = read_prices(BOOK)


def read(notes: str) -> Reading:
    """Read typed notes beside the price book of 315 items."""
    return read_lines([Passage("notes", notes)], PRICES.book)


@pytest.mark.parametrize(
    ("notes", "reason"),
    [
        ("Grind 5 stumps, 3 at the fence", "other numbers were said as well"),
        ("Panel swap to 200A incl meter base", "its words name “Meter base 200 amp” as well"),
        ("Pull the oak flooring 200 sf. No, make that two.", "it may be meant for something else"),
        ("2 single pole switches, 1 3-way", "taken as another size of"),
        ("Floor is 45 square feet. Install cement board.", "taken from “45 square feet.” before"),
    ],
)
def test_an_uncertain_reading_is_flagged(notes: str, reason: str) -> None:
    """The contractor reads what else could have been meant."""
    assert any(reason in told for line in read(notes).lines for told in line.review_reasons)


def test_a_certain_reading_is_not_flagged() -> None:
    """One number and one item leave nothing to ask."""
    (line,) = read("Grind 5 stumps").lines
    assert line.quantity == 5
    assert not line.needs_review


@pytest.mark.parametrize("notes", ["Replace 3 hose bibs\nRoute 9", "Replace 3 hose bibs, access before 9"])
def test_numbers_that_name_count_nothing(notes: str) -> None:
    """A road's number and an hour are no quantities."""
    assert [line.quantity for line in read(notes).lines] == [3]


def test_a_bare_unknown_thing_is_not_understood() -> None:
    """Without a number, a price, a verb of work or an item of the book, words are named and make no line."""
    reading = read("Replace 3 hose bibs\nthe usual shenanigans")
    assert len(reading.lines) == 1
    assert "Not understood: “the usual shenanigans”" in reading.told


@pytest.mark.parametrize("notes", ["2 shenanigans", "new shenanigans", "shenanigans $40", "install shenanigans"])
def test_an_unknown_thing_with_a_sign_of_work_is_a_line(notes: str) -> None:
    """It is a line to confirm, with its words."""
    assert len(read(notes).lines) == 1


@pytest.mark.parametrize(
    ("notes", "quantities"),
    [
        ("Casing 2 1/4, 34' per door x 6", {("204", "lf")}),
        ("tape and float 1100 sf", {("1100", "sq ft")}),
        ("GFCI outlets: kitchen 3, baths 2, garage 1", {("3", "each"), ("2", "each"), ("1", "each")}),
        ("Floor's 45 square feet, put down porcelain 12x24", {("45", "sq ft")}),
        ("Replace 4 hose bibs, so make it two", {("2", "each")}),
        ("Pull out the chain link, 110 feet, and put up six foot cedar, same footage", {("110", "lf"), ("110", "lf")}),
    ],
)
def test_amounts_are_worked_out(notes: str, quantities: set[tuple[str, str]]) -> None:
    """So much for each, two verbs of one object, and the footage of the thing before."""
    assert {(f"{line.quantity:f}", line.unit) for line in read(notes).lines} == quantities


@pytest.mark.parametrize(("items", "lines"), [([], 0), ([Item(uuid4(), "Zorble", "each")], 1)])
def test_a_thing_that_was_heard_badly_is_a_line_if_the_book_has_it(items: list[Item], lines: int) -> None:
    """The speech engine guessed a word that no trade knows; the company's own book may know it."""
    heard = of_transcript(transcript("install two zorbles", probability=0.5))
    assert len(read_lines([heard], Book(items)).lines) == lines
