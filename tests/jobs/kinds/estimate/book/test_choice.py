"""The trained choice between the items of a book: probabilities, what none means, and when nobody needs to look."""

import json
from uuid import uuid4

import pytest

from jobs.kinds.estimate.book.book import Book, Fit, Item, choose
from jobs.kinds.estimate.book.choice import WEIGHTS, probabilities
from jobs.kinds.estimate.book.features import NAMES, NONE_NAMES
from tests.jobs.kinds.estimate.book.test_matching import BOOK


def meant(text: str, book: Book = BOOK) -> tuple[str, bool] | None:
    """Return the item that is probably meant, and whether it is sure."""
    fit = choose(book.weigh(text))
    return (fit.item.description, fit.sure) if fit else None


def test_the_weights_are_those_of_the_features() -> None:
    """A feature that was added or removed asks for a training."""
    assert set(json.loads(WEIGHTS.read_text(encoding="utf-8"))) == {*NAMES, *NONE_NAMES}


def test_probabilities_and_none_make_one() -> None:
    """No candidates leave all to none; equal ones share."""
    none = (1.0,) + (0.0,) * (len(NONE_NAMES) - 1)
    same = (0.0,) * len(NAMES)
    assert probabilities([], none) == []
    first, second = probabilities([same, same], none)
    assert first == second
    assert 0 < first + second < 1


@pytest.mark.parametrize(
    ("text", "item"),
    [("starter strip", "Starter strip"), ("paint trim", "Paint trim"), ("kitchen faucet", "Kitchen faucet, supplied")],
)
def test_an_exact_name_is_sure(text: str, item: str) -> None:
    """Nobody has to look at it."""
    found = meant(text)
    assert found is not None
    assert found[0].startswith(item)
    assert found[1]


@pytest.mark.parametrize("text", ["oak bookcase", "anchor bolts", "toilet seat"])
def test_what_the_book_does_not_have_means_none(text: str) -> None:
    """One shared word, or none, decides nothing."""
    assert meant(text) is None


def test_two_alike_are_never_sure() -> None:
    """Two items that differ in what the line leaves open share the probability."""
    rows = [("Black mulch, spread", "cu yd", "Landscaping"), ("Brown mulch, spread", "cu yd", "Landscaping")]
    found = meant("mulch", Book([Item(uuid4(), *row) for row in rows]))
    assert found is None or not found[1]


@pytest.mark.parametrize(("probability", "sure"), [(0.29, None), (0.3, False), (0.89, False), (0.9, True)])
def test_how_probable_decides_what_is_done(probability: float, *, sure: bool | None) -> None:
    """Improbable is no price, probable a price with a flag, certain a price."""
    found = choose([Fit(Item(uuid4(), "Toilet", "each"), 0.5, probability=probability)])
    assert (found.sure if found else None) is sure


def test_a_kind_of_thing_stands_for_what_the_book_has() -> None:
    """A chandelier is a light fixture, unless the book has chandeliers."""
    fixture = ("Light fixture", "each", "Electrical")
    both = [fixture, ("Chandelier", "each", "Electrical")]
    assert (meant("chandelier", Book([Item(uuid4(), *fixture)])) or ("",))[0] == "Light fixture"
    assert (meant("chandelier", Book([Item(uuid4(), *row) for row in both])) or ("",))[0] == "Chandelier"
