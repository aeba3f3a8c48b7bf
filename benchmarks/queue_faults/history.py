"""One job's life as its events tell it, walked through the table of states: pure, events in and faults found out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.queue.states import IllegalMove, Move, State, after

MOVES = {
    "job.started": Move.CLAIM,
    "job.retrying": Move.RETRY,
    "job.released": Move.RELEASE,
    "job.completed": Move.COMPLETE,
    "job.failed": Move.DEAD_LETTER,
    "job.cancelled": Move.CANCEL,
}
# A snooze and a hand-back refund the attempt, a retry and a lost lease do not; the events do not tell which it was.
MAY_REFUND = frozenset({"job.retrying", "job.released"})


@dataclass
class History:
    """Where a job stands after its events; `wrong` holds what cannot have happened."""

    state: State | None = None
    attempts: frozenset[int] = frozenset({0})
    worker: str = ""
    wrong: list[str] = field(default_factory=list)

    def take(self, event_type: str, payload: Mapping[str, Any]) -> None:
        """Take the next event."""
        if not event_type.startswith("job."):
            self._progress(event_type, payload)
            return
        if event_type == "job.queued":
            self._queued()
        else:
            self._move(MOVES[event_type])
        if event_type == "job.started":
            self._started(payload)
        elif event_type in MAY_REFUND:
            self.attempts |= {attempt - 1 for attempt in self.attempts}

    def _queued(self) -> None:
        if self.state is None:
            self.state = State.QUEUED
        else:
            self._move(Move.REDRIVE)
        self.attempts = frozenset({0})

    def _move(self, move: Move) -> None:
        if self.state is None:
            self.wrong.append(f"a job that was never queued cannot {move}")
            return
        try:
            self.state = after(self.state, move)
        except IllegalMove as error:
            self.wrong.append(str(error))

    def _started(self, payload: Mapping[str, Any]) -> None:
        attempt: int = payload["attempt"]
        if attempt - 1 not in self.attempts:
            self.wrong.append(f"attempt {attempt} came after {sorted(self.attempts)}")
        self.attempts = frozenset({attempt})
        self.worker = payload["worker"]

    def _progress(self, event_type: str, payload: Mapping[str, Any]) -> None:
        """Whoever writes must be the one who holds the job."""
        ours = self.state is State.RUNNING and {payload["attempt"]} == self.attempts
        if not ours or not self.worker.endswith(f"-{payload['pid']}"):
            self.wrong.append(
                f"{event_type} of {dict(payload)} while {self.state}, attempt {sorted(self.attempts)} of {self.worker}"
            )


def walk(events: Sequence[tuple[str, Mapping[str, Any]]]) -> History:
    """Walk through a job's events [(type, payload), ...] in order."""
    history = History()
    for event_type, payload in events:
        history.take(event_type, payload)
    return history
