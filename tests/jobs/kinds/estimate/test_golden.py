"""The authored visits' own promises, and what the rules make of them without any speech engine."""

import asyncio

import pytest

from benchmarks.estimates.__main__ import TRADES, evaluate
from benchmarks.estimates.visits import VisitSet, demo_visits, visits_in

SETS = [demo_visits(), visits_in(TRADES, "315 items")]


def test_there_are_visits_of_many_trades() -> None:
    """Each set has at least six trades, typed and spoken."""
    for visits in SETS:
        assert len({visit.trade for visit in visits.visits}) >= 6
        assert {"typed", "spoken"} <= {visit.mode for visit in visits.visits}


@pytest.mark.parametrize("visits", SETS, ids=lambda visits: visits.name)
def test_requests_become_lines_and_nothing_is_silent(visits: VisitSet) -> None:
    """The benchmark reports the exact shares; here the goals are held, and no fault is without a flag."""
    marks = asyncio.run(evaluate(visits, trade=None, hear=False, show=False))
    for mode in ("typed", "spoken"):
        assert marks[mode].found >= 0.9 * marks[mode].wanted
        assert marks[mode].found >= 0.95 * marks[mode].drafted
        assert not marks[mode].unflagged
        assert marks[mode].silent == 0
        assert marks[mode].money_right >= marks[mode].money * 85 / 100
