"""The table of states, and that the database makes the same moves."""

import re
from itertools import product
from pathlib import Path

import pytest

from jobs.queue.states import FINAL, TABLE, IllegalMove, Move, State, after
from tests.jobs.conftest import Admin

LEGAL = sorted(TABLE.items())
ILLEGAL = [pair for pair in product(State, Move) if pair not in TABLE]


@pytest.mark.parametrize(("pair", "leads_to"), LEGAL)
def test_a_legal_move_leads_where_the_table_says(pair: tuple[State, Move], leads_to: State) -> None:
    """Each entry of the table is what `after` answers."""
    assert after(*pair) is leads_to


@pytest.mark.parametrize("pair", ILLEGAL)
def test_an_illegal_move_raises_and_names_both(pair: tuple[State, Move]) -> None:
    """What is not in the table does not happen."""
    with pytest.raises(IllegalMove, match=f"A {pair[0]} job cannot {pair[1]}"):
        after(*pair)


def test_final_states_are_left_only_by_a_redrive() -> None:
    """Completed and cancelled jobs never change; a dead one only starts anew."""
    assert {move for (state, move) in TABLE if state in FINAL} == {Move.REDRIVE}


def test_every_state_can_be_reached() -> None:
    """No state is only drawn."""
    assert set(TABLE.values()) == set(State)


async def test_the_database_knows_the_same_states(admin: Admin) -> None:
    """The CHECK on jobs and the enum list the same names."""
    check = await admin.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'jobs_status_check'"
    )
    assert set(re.findall(r"'(\w+)'", check)) == set(State)


def test_the_drawing_shows_the_moves_of_the_table_and_no_other() -> None:
    """The one drawing of a job's life is the table in `jobs.queue.states`."""
    text = (Path(__file__).parents[3] / "docs" / "explanation" / "architecture.md").read_text()
    drawn = {
        (State(state), Move(move)): State(leads_to)
        for state, moves, leads_to in re.findall(r"^(\w+) +-- ([a-z_, ]+?) -+> (\w+)$", text, re.MULTILINE)
        for move in moves.split(", ")
    }
    assert drawn == TABLE


async def test_every_move_that_writes_a_state_is_written_by_the_database(admin: Admin) -> None:
    """What the functions of the database set `status` to, taken together, is every state."""
    sources = await admin.fetch(
        "SELECT prosrc FROM pg_proc WHERE pronamespace IN ('scopekit'::regnamespace, 'public'::regnamespace) "
        "AND prosrc LIKE '%public.jobs%' AND prosrc NOT LIKE '%UPDATE public.webhook_endpoints%'"
    )
    written = {state for row in sources for state in re.findall(r"(?:SET status =|'status',) '(\w+)'", row["prosrc"])}
    assert written == set(State)
