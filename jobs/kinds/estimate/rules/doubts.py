"""What makes the reading of a line uncertain: more numbers, more things, more sentences than one line should have."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from jobs.kinds.estimate.book.book import choose
from jobs.kinds.estimate.rules.amounts.amounts import plain
from jobs.kinds.estimate.rules.clauses.phrases import text_of

if TYPE_CHECKING:
    from jobs.kinds.estimate.book.book import Book, Fit
    from jobs.kinds.estimate.rules.amounts.amounts import Amount
    from jobs.kinds.estimate.rules.reader import Item
    from jobs.kinds.estimate.rules.tokens import Token

# A line of so many clauses may have taken in what belongs to another.
_MANY_PIECES = 3
_JOINTS = frozenset({",", "and", "&", "+", "/", "-", "then", "with", "w/", "plus", "for", "incl", "including"})


def doubts_of(item: Item, amount: Amount | None, fit: Fit | None, book: Book) -> tuple[str, ...]:
    """Return the reasons to look at a line whose quantity is `amount` and whose item is `fit`."""
    pieces = ("it was put together from several sentences",) if len(item.spans) >= _MANY_PIECES else ()
    return (*_more_quantities(item, amount), *_more_things(item, fit, book), *pieces)


def _more_quantities(item: Item, amount: Amount | None) -> tuple[str, ...]:
    """Doubt a quantity beside which another one of its kind was said: "kitchen 3, baths 2"; each could be meant."""
    if amount is None or item.corrected:
        return ()
    alike = [a for a in item.amounts if a.stated and a.kind == amount.kind]
    rivals = [a for a in alike if a.unit in {amount.unit, None} or (a.grip == "firm" and a.kind == "measure")]
    values = dict.fromkeys(plain(a.value) for a in rivals if a.value != amount.value and a.at != amount.at)
    said = f"other numbers were said as well ({', '.join(values)}); taken was {plain(amount.value)}"
    return (said,) if values else ()


def _more_things(item: Item, fit: Fit | None, book: Book) -> tuple[str, ...]:
    """Doubt a line whose words name another item of the book as well."""
    if fit is None:
        return ()
    pieces = [tuple(part) for joint, part in groupby(item.clause.tokens, _is_joint) if not joint]
    named = [choose(book.weigh(text_of(piece))) for piece in pieces] if pieces[1:] else []
    others = [one.item for one in named if one is not None and one.item is not fit.item]
    names = " and ".join(f"“{one.description}”" for one in others)
    return (f"its words name {names} as well",) if names else ()


def _is_joint(token: Token) -> bool:
    return token.text in _JOINTS
