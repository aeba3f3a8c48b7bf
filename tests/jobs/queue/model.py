"""The queue as a dict: what each move must answer and leave behind, without a database and without a clock.

Time is two flags a job: `due` (its run_at has come) and `expired` (its lease has run out).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from jobs.queue.states import Move, State, after

ATTEMPTS = 3
LOST_LEASES = 3


@dataclass
class Job:
    """A row of `ai_jobs`, or of the dead letters once it is FAILED."""

    visit_id: UUID
    job_type: str
    key: str | None
    max_attempts: int | None
    state: State = State.QUEUED
    attempts: int = 0
    lost_leases: int = 0
    token: UUID | None = None
    due: bool = True
    expired: bool = False
    cancel_requested: bool = False
    letters: int = 0  # dead letters so far; the newest waits while the job is FAILED
    checkpoints: set[str] = field(default_factory=set)

    @property
    def active(self) -> bool:
        """Whether it keeps its visit's place for its type."""
        return self.state in (State.QUEUED, State.RUNNING)

    @property
    def spent(self) -> bool:
        """Whether no attempt is left."""
        return self.attempts >= (self.max_attempts or ATTEMPTS)

    def move(self, move: Move) -> None:
        """Make a move of the table; whatever it leads to, nobody holds the job by its old lease."""
        self.state = after(self.state, move)
        self.token, self.expired = None, False


class Model:
    """All jobs by id, the events each visit must have, and the paused types."""

    def __init__(self) -> None:
        self.jobs: dict[UUID, Job] = {}
        self.events: Counter[UUID] = Counter()
        self.paused: set[str] = set()

    def by_key(self, job_type: str, key: str | None) -> UUID | None:
        """Return the first job of a type and key."""
        if key is None:
            return None
        wanted = (job_type, key)
        return next((job_id for job_id, job in self.jobs.items() if (job.job_type, job.key) == wanted), None)

    def active(self, visit_id: UUID, job_type: str) -> UUID | None:
        """Return the visit's queued or running job of a type."""
        wanted = (visit_id, job_type)
        return next(
            (job_id for job_id, job in self.jobs.items() if job.active and (job.visit_id, job.job_type) == wanted),
            None,
        )

    def claimable(self) -> set[UUID]:
        """Return which jobs a claim may take."""
        return {
            job_id
            for job_id, job in self.jobs.items()
            if job.state is State.QUEUED and job.due and job.job_type not in self.paused
        }

    def holds(self, job_id: UUID, token: UUID) -> bool:
        """Tell whether this is the job's lease."""
        return self.jobs[job_id].token == token

    def add(self, job_id: UUID, job: Job) -> None:
        """Queue a new job."""
        self.jobs[job_id] = job
        self._tell(job)

    def claim(self, job_id: UUID, token: UUID) -> None:
        """Start an attempt."""
        job = self.jobs[job_id]
        job.move(Move.CLAIM)
        job.token = token
        job.attempts += 1
        self._tell(job)

    def event(self, job_id: UUID, token: UUID, number: int) -> bool:
        """Tell the subscribers something."""
        if held := self.holds(job_id, token):
            self.events[self.jobs[job_id].visit_id] += number
        return held

    def checkpoint(self, job_id: UUID, token: UUID, step: str) -> bool:
        """Keep something for the next attempt."""
        if held := self.holds(job_id, token):
            self.jobs[job_id].checkpoints.add(step)
        return held

    def complete(self, job_id: UUID, token: UUID) -> bool:
        """Finish, unless somebody asked for the job to stop."""
        job = self.jobs[job_id]
        if not self.holds(job_id, token) or job.cancel_requested:
            return False
        job.checkpoints.clear()
        self._move(job, Move.COMPLETE)
        return True

    def fail(self, job_id: UUID, token: UUID, *, again: bool, refund: bool) -> State | None:
        """Try again later, or give up."""
        job = self.jobs[job_id]
        if not self.holds(job_id, token):
            return None
        if job.cancel_requested:
            self._cancel(job)
        elif not again or (job.spent and not refund):
            self._bury(job)
        else:
            self._requeue(job, Move.SNOOZE if refund else Move.RETRY, refund=refund)
        return job.state

    def release(self, job_id: UUID, token: UUID) -> State | None:
        """Hand back."""
        job = self.jobs[job_id]
        if not self.holds(job_id, token):
            return None
        if job.cancel_requested:
            self._cancel(job)
        else:
            self._requeue(job, Move.RELEASE, refund=True)
            job.due = True
        return job.state

    def finish_cancelled(self, job_id: UUID, token: UUID) -> State | None:
        """Stop, because somebody asked."""
        if not self.holds(job_id, token):
            return None
        self._cancel(self.jobs[job_id])
        return State.CANCELLED

    def renew(self, leases: Iterable[tuple[UUID, UUID]]) -> Mapping[UUID, bool]:
        """Extend what is held; a lease that ran out unseen is still one."""
        held = {job_id: self.jobs[job_id].cancel_requested for job_id, token in leases if self.holds(job_id, token)}
        for job_id in held:
            self.jobs[job_id].expired = False
        return held

    def cancel(self, job_id: UUID) -> State:
        """Cancel at once, or ask the worker to."""
        job = self.jobs[job_id]
        if job.state is State.QUEUED:
            self._cancel(job)
        elif job.state is State.RUNNING:
            job.cancel_requested = True
        return job.state

    def sweep(self) -> dict[str, int]:
        """Free every lease that ran out."""
        counts = dict.fromkeys(("requeued", "dead", "cancelled"), 0)
        for job in self.jobs.values():
            if job.expired:
                counts[self._lose(job)] += 1
        return counts

    def move_to_dlq(self, job_id: UUID) -> None:
        """Give up what has no attempt left."""
        job = self.jobs[job_id]
        if job.active and job.spent:
            self._bury(job)

    def redrive(self, job_id: UUID) -> bool:
        """Start a dead job anew; False when its visit has another by now."""
        job = self.jobs[job_id]
        if job.state is not State.FAILED:
            return True  # done before
        if self.active(job.visit_id, job.job_type) is not None:
            return False
        self._move(job, Move.REDRIVE)
        job.attempts = job.lost_leases = 0
        job.due, job.cancel_requested = True, False
        return True

    def _lose(self, job: Job) -> str:
        if job.cancel_requested:
            self._cancel(job)
            return "cancelled"
        job.lost_leases += 1
        if job.lost_leases >= LOST_LEASES or job.spent:
            self._bury(job)
            return "dead"
        self._requeue(job, Move.LOSE, refund=False)
        return "requeued"

    def _requeue(self, job: Job, move: Move, *, refund: bool) -> None:
        self._move(job, move)
        job.attempts -= refund
        job.due = False

    def _cancel(self, job: Job) -> None:
        job.checkpoints.clear()
        job.cancel_requested = True
        self._move(job, Move.CANCEL)

    def _bury(self, job: Job) -> None:
        job.letters += 1
        self._move(job, Move.DEAD_LETTER)

    def _move(self, job: Job, move: Move) -> None:
        job.move(move)
        self._tell(job)

    def _tell(self, job: Job) -> None:
        """Every move is one event."""
        self.events[job.visit_id] += 1
