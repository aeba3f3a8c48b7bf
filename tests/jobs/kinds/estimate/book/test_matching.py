"""A line meets a price book in the words that people write; small books, no database."""

from uuid import uuid4

import pytest

from jobs.kinds.estimate.book.abbreviations import abbreviates
from jobs.kinds.estimate.book.book import Book, Item
from jobs.kinds.estimate.book.sizes import DESCRIBING, MEASURING

ROWS = [
    ("Synthetic underlayment", "square", "Roofing"),
    ("Cement board underlayment", "sq ft", "Flooring"),
    ("Starter strip", "lf", "Roofing"),
    ("Tear off shingles, one layer", "square", "Roofing"),
    ("Line set 3/4 x 3/8", "lf", "HVAC"),
    ("Return duct run", "each", "HVAC"),
    ("Return fitting", "each", "Pool"),
    ("Pool opening", "each", "Pool"),
    ("Deadbolt", "each", "Windows"),
    ("Flood light, LED", "each", "Electrical"),
    ("Expansion joint", "lf", "Concrete"),
    ("Waterline tile 6x6", "lf", "Pool"),
    ("VCT tile", "sq ft", "Flooring"),
    ("Black mulch, spread", "cu yd", "Landscaping"),
    ("Brown mulch, spread", "cu yd", "Landscaping"),
    ("Vanity faucet, supplied and installed", "each", "Plumbing"),
    ("Kitchen faucet, supplied and installed", "each", "Plumbing"),
    ("Bathroom vanity with sink", "each", "Plumbing"),
    ("Hang 1/2 inch drywall sheet", "sheet", "Drywall"),
    ("Remove wallpaper", "sq ft", "Painting"),
    ("Toilet", "each", "Plumbing"),
    ("Fence post, set in concrete", "each", "Fencing"),
    ("Paint ceiling", "sq ft", "Painting"),
    ("Paint trim", "lf", "Painting"),
    ("Dedicated 20 amp circuit", "each", "Electrical"),
]
BOOK = Book([Item(uuid4(), *row) for row in ROWS])


def best(text: str, *trades: str) -> str | None:
    """Return the name of the item that a text means."""
    fit = BOOK.best(BOOK.rank(text, trades=frozenset(trades)))
    return fit.item.description if fit else None


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("synth underlayment", "Synthetic underlayment"),
        ("starter", "Starter strip"),
        ("lineset 3/4 x 3/8", "Line set 3/4 x 3/8"),
        ("floodlight", "Flood light, LED"),
        ("exp jt", "Expansion joint"),
        ("retile waterline 6x6", "Waterline tile 6x6"),
        ("blk mulch", "Black mulch, spread"),
        ("backer board", "Cement board underlayment"),
        ("deadbolts keyed alike", "Deadbolt"),
        ("wallpaper off powder room", "Remove wallpaper"),
        ("20A dedicated circuit for the fridge", "Dedicated 20 amp circuit"),
    ],
)
def test_words_as_people_write_them_mean_the_items(text: str, item: str) -> None:
    """Abbreviations, compounds, other names and what stands behind the thing."""
    assert best(text) == item


@pytest.mark.parametrize(
    "text",
    ["openings", "cement board sheets 1/2", "laundry sink", "toilet seat", "posts", "mulch", "faucets"],
)
def test_what_only_shares_a_word_means_nothing(text: str) -> None:
    """The thing itself must agree, and of two that fit alike none is taken."""
    assert best(text) is None


def test_the_trade_of_the_visit_decides_between_two() -> None:
    """Among ducts a return is a duct; at a pool it is a fitting."""
    assert best("returns", "HVAC") == "Return duct run"
    assert best("returns", "Pool") == "Return fitting"
    assert best("openings", "Pool") == "Pool opening"


def test_painters_paint_what_they_list() -> None:
    """In a visit about painting a ceiling without a verb is painted; elsewhere nobody knows."""
    assert best("ceilings flat white", "Painting") == "Paint ceiling"
    assert best("ceilings flat white") is None


def test_one_table_of_size_units() -> None:
    """No spelling both only describes and measures."""
    assert not DESCRIBING.keys() & MEASURING.keys()


@pytest.mark.parametrize(
    ("short", "word"), [("shgl", "shingl"), ("jt", "joint"), ("synth", "synthetic"), ("bar", "rebar")]
)
def test_an_abbreviation_is_a_beginning_or_the_consonants(short: str, word: str) -> None:
    """People write the beginning of a word or its consonants."""
    assert abbreviates(short, word)


@pytest.mark.parametrize(("short", "word"), [("seat", "set"), ("pan", "panel"), ("bed", "board"), ("jt", "junction")])
def test_another_word_is_no_abbreviation(short: str, word: str) -> None:
    """A vowel inside, or another end, makes it another word."""
    assert not abbreviates(short, word) or word.startswith(short)


@pytest.mark.parametrize("text", ["reset toilet", "toilet pull and reset", "relocate the toilet", "move starter strip"])
def test_what_is_moved_or_reset_is_not_sold_anew(text: str) -> None:
    """The price of a new toilet is not the price of setting the old one again."""
    assert best(text) is None
