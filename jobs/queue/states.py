"""The life of a job as a table: no I/O, values in and values out.

docs/explanation draws it; the functions of `store/schema/queue_*.sql` make the same moves; tests hold the three equal.

Invariants: COMPLETED and CANCELLED never change; a job leaves RUNNING only by its lease holder, except that the
sweeper takes an expired lease (lose, dead_letter, cancel); any move not in the table raises and changes nothing.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a job is; FAILED lives in the table of dead letters."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Move(StrEnum):
    """The events that move it."""

    CLAIM = "claim"
    COMPLETE = "complete"
    RETRY = "retry"  # failed, and worth another attempt
    SNOOZE = "snooze"  # not now; the attempt is refunded
    RELEASE = "release"  # handed back at shutdown; the attempt is refunded
    LOSE = "lose"  # the lease expired
    DEAD_LETTER = "dead_letter"  # no sense in another attempt
    CANCEL = "cancel"
    REDRIVE = "redrive"


class IllegalMove(Exception):
    """This cannot happen to a job in that state."""


TABLE: Mapping[tuple[State, Move], State] = MappingProxyType(
    {
        (State.QUEUED, Move.CLAIM): State.RUNNING,
        (State.QUEUED, Move.CANCEL): State.CANCELLED,
        (State.QUEUED, Move.DEAD_LETTER): State.FAILED,
        (State.RUNNING, Move.COMPLETE): State.COMPLETED,
        (State.RUNNING, Move.RETRY): State.QUEUED,
        (State.RUNNING, Move.SNOOZE): State.QUEUED,
        (State.RUNNING, Move.RELEASE): State.QUEUED,
        (State.RUNNING, Move.LOSE): State.QUEUED,
        (State.RUNNING, Move.CANCEL): State.CANCELLED,
        (State.RUNNING, Move.DEAD_LETTER): State.FAILED,
        (State.FAILED, Move.REDRIVE): State.QUEUED,
    }
)

FINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})


def after(state: State, move: Move) -> State:
    """Return the state that `move` leads to. Raises `IllegalMove`."""
    try:
        return TABLE[state, move]
    except KeyError:
        raise IllegalMove(f"A {state} job cannot {move}.") from None
