"""The golden visits' own promises, and what they show of the rules without any speech."""

from collections import Counter

from benchmarks.estimates.terms import missed_terms
from benchmarks.estimates.visits import HALVES, load
from jobs.kinds.estimate.rules.lines import read_lines
from jobs.kinds.estimate.rules.passages import Passage

GOAL = 0.85


def test_there_are_thirty_visits_of_six_trades_in_two_halves() -> None:
    """Each trade is in both halves, so that neither half is another kind of work."""
    visits = load()
    assert len(visits) >= 30
    assert len({visit.trade for visit in visits}) == 6
    per_half = Counter((visit.trade, visit.half) for visit in visits)
    assert all(per_half[trade, half] >= 2 for trade in {visit.trade for visit in visits} for half in HALVES)


def test_most_typed_requests_become_lines_in_either_half() -> None:
    """The benchmark reports the exact shares; here only the goal is held."""
    for half in HALVES:
        wanted = drafted = 0
        for visit in (visit for visit in load() if visit.half == half):
            wanted += sum(line.source == "notes" for line in visit.wanted)
            drafted += len(read_lines([Passage("notes", visit.notes)]).lines)
        assert drafted >= GOAL * wanted


def test_terms_are_counted_where_they_were_said() -> None:
    """Another word in a term's place is a miss, whatever else was heard differently."""
    terms = {"outlet", "deck", "board"}
    assert missed_terms("Replace two outlets and six deck boards.", "replace 2 outlets, 6 neck boards", terms) == (3, 1)
    assert missed_terms("Replace outlets", "", terms) == (1, 1)
