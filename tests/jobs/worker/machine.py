"""The queue and its model side by side: each move is made in both, and what both answer is compared."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import asyncpg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    multiple,
    rule,
)

from jobs.queue.states import State
from store.errors import Conflict, SpineError, Unprocessable
from store.pool import Database, use_json
from store.queue import dead_letters, jobs
from store.queue.jobs import Failure, Lease, NewJob
from tests.jobs.queue.model import Job, Model
from tests.stack import Services
from tests.tenants import Tenant, make_tenant

T = TypeVar("T")

HOUR = timedelta(hours=1)  # no lease and no backoff ends by itself while the test looks on
WORKER = "machine-1"
STAMP = 1
TYPES = ("estimate", "other")
KEYS = (None, "a", "b", "c")


class Held(NamedTuple):
    """A lease that was once given; whether it still holds, the model knows."""

    job_id: UUID
    token: UUID

    @property
    def lease(self) -> Lease:
        """The same as the store takes it."""
        return Lease(*self)


class QueueMachine(RuleBasedStateMachine):
    """Makes each move in the database and in the model, and compares the answers."""

    queued = Bundle("queued")
    held = Bundle("held")

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.model = Model()
        self.runner = asyncio.Runner()
        self.admin: asyncpg.Connection[asyncpg.Record]
        self.db: Database
        self.service: Database
        self.tenant: Tenant
        self.visits: list[UUID]
        self.runner.run(self._open(services))

    async def _open(self, services: Services) -> None:
        self.admin = await asyncpg.connect(services.admin_url)
        await use_json(self.admin)
        self.db = await Database.open(services.gateway_url, name="machine", size=1)
        self.service = await Database.open(services.worker_url, name="machine", size=2, role="service_role")
        self.tenant = await make_tenant(self.admin)
        rows = await self.admin.fetch(
            "INSERT INTO site_visits (tenant_id) SELECT $1 FROM generate_series(1, 3) RETURNING id", self.tenant.id
        )
        self.visits = [row["id"] for row in rows]

    def teardown(self) -> None:
        """Leave nothing that the next machine could claim."""
        self.runner.run(self._close())
        self.runner.close()

    async def _close(self) -> None:
        await self.admin.execute("DELETE FROM jobs; DELETE FROM queue_control")
        await self.admin.close()
        await self.db.close()
        await self.service.close()

    def user(self, move: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """Make a tenant's move."""

        async def run() -> T:
            async with self.db.as_user(self.tenant.claims) as conn:
                return await move(conn, *arguments)

        return self.runner.run(run())

    def system(self, move: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """Make a worker's or an operator's move."""

        async def run() -> T:
            async with self.service.as_system() as conn:
                return await move(conn, *arguments)

        return self.runner.run(run())

    def owner(self, statement: str, *arguments: Any) -> None:
        """Change what only time or an operator changes."""
        self.runner.run(self.admin.execute(statement, *arguments))

    # Moves ------------------------------------------------------------------------------------------------------

    @initialize(target=queued, visit=st.integers(0, 2))
    def first(self, visit: int) -> UUID:
        """Start with something to do."""
        return self._enqueue(NewJob(self.tenant.id, self.visits[visit], "estimate", {}), None, 0)

    @rule(
        target=queued,
        visit=st.integers(0, 2),
        job_type=st.sampled_from(TYPES),
        key=st.sampled_from(KEYS),
        most=st.sampled_from((None, 1, 25)),
        priority=st.integers(0, 1),
    )
    def enqueue(
        self, visit: int, job_type: str, key: str | None, most: int | None, priority: int
    ) -> UUID | MultipleResults[UUID]:
        """Queue a job, or be told which one is in the way."""
        job = NewJob(self.tenant.id, self.visits[visit], job_type, {}, idempotency_key=key)
        known = self.model.by_key(job_type, key)
        in_the_way = self.model.active(self.visits[visit], job_type)
        if known is not None:
            if self.model.jobs[known].visit_id == job.visit_id:
                status, new = self.user(jobs.enqueue, job)
                assert (status["id"], new) == (known, False)
                return multiple()
            return self._refused(Unprocessable, job, known)
        if in_the_way is None:
            return self._enqueue(job, most, priority)
        return self._refused(Conflict, job, in_the_way)

    def _refused(self, error: type[SpineError], job: NewJob, by: UUID) -> MultipleResults[UUID]:
        with pytest.raises(error) as refusal:
            self.user(jobs.enqueue, job)
        assert refusal.value.extra["job_id"] == str(by)
        return multiple()

    def _enqueue(self, job: NewJob, most: int | None, priority: int) -> UUID:
        status, new = self.user(jobs.enqueue, job)
        assert new
        job_id: UUID = status["id"]
        self.owner("UPDATE ai_jobs SET max_attempts = $2, priority = $3 WHERE id = $1", job_id, most, priority)
        assert job.visit_id is not None
        self.model.add(job_id, Job(job.visit_id, job.job_type, job.idempotency_key, most))
        return job_id

    @rule(target=held, limit=st.integers(1, 3))
    def claim(self, limit: int) -> MultipleResults[Held]:
        """Start as many due jobs as there are, up to the limit, each under a lease of its own."""
        may = self.model.claimable()
        rows = self.system(jobs.claim, limit, WORKER, HOUR)
        taken = {row["id"] for row in rows}
        assert len(taken) == len(rows) == min(limit, len(may))
        assert taken <= may
        for row in rows:
            self.model.claim(row["id"], row["lease_token"])
        return multiple(*(Held(row["id"], row["lease_token"]) for row in rows))

    @rule(leases=st.lists(held, max_size=4, unique=True))
    def renew(self, leases: list[Held]) -> None:
        """Extend some leases in one go, lost ones among them."""
        renewed = self.system(jobs.renew, [one.lease for one in leases], HOUR)
        assert renewed == self.model.renew(leases)

    @rule(one=held, number=st.integers(1, 3), relaxed=st.booleans())
    def event(self, one: Held, number: int, relaxed: bool) -> None:
        """Tell something; a zombie's is refused, and so is every write of its below."""
        attempt = self.model.jobs[one.job_id].attempts
        events = [{"type": "step.progress", "payload": {"attempt": attempt, "pid": STAMP}}] * number

        async def append(conn: Any) -> bool:
            return await jobs.append_events(conn, one.lease, events, relaxed=relaxed)

        assert self.system(append) is self.model.event(*one, number)

    @rule(one=held, step=st.sampled_from(("look", "draft")))
    def checkpoint(self, one: Held, step: str) -> None:
        """Keep something for the next attempt."""
        assert self.system(jobs.put_checkpoint, one.lease, step, "", {}) is self.model.checkpoint(*one, step)

    @rule(one=held, asks_first=st.booleans(), cancelled=st.booleans())
    def complete(self, one: Held, asks_first: bool, cancelled: bool) -> None:
        """Finish, whether the work asked first or not; somebody may have cancelled just before."""
        if cancelled:
            self.cancel(one.job_id)
        job = self.model.jobs[one.job_id]
        may = "lost" if not self.model.holds(*one) else "cancelled" if job.cancel_requested else "held"
        told = {"event": "done", "properties": {"job_id": str(one.job_id)}}

        async def finish(conn: Any) -> bool:
            if asks_first:
                assert await jobs.begin_completion(conn, one.lease) == may
            return await jobs.complete(conn, one.lease, {"total": "1.00"}, told)

        assert self.system(finish) is self.model.complete(*one)

    @rule(one=held, again=st.booleans(), refund=st.booleans())
    def fail(self, one: Held, again: bool, refund: bool) -> None:
        """Fail for now (a retry, or a snooze that costs nothing) or for good."""
        failure = Failure("broken", "x", HOUR if again else None, refund=refund)
        assert self.system(jobs.fail, one.lease, failure) == self.model.fail(*one, again=again, refund=refund)

    @rule(one=held)
    def release(self, one: Held) -> None:
        """Hand back, as at shutdown."""
        assert self.system(jobs.release, one.lease) == self.model.release(*one)

    @rule(one=held)
    def finish_cancelled(self, one: Held) -> None:
        """Stop, as somebody asked."""
        assert self.system(jobs.finish_cancelled, one.lease) == self.model.finish_cancelled(*one)

    @rule(job_id=queued)
    def cancel(self, job_id: UUID) -> None:
        """Cancel as the tenant, in any state."""
        assert self.user(jobs.cancel, job_id)["status"] == self.model.cancel(job_id)

    @rule(job_id=queued)
    def move_to_dlq(self, job_id: UUID) -> None:
        """Give up by the runbook's function."""
        self.owner("SELECT move_to_dlq($1, 'given up')", job_id)
        self.model.move_to_dlq(job_id)

    @rule(job_id=queued, times=st.integers(1, 2), newest=st.booleans())
    def redrive(self, job_id: UUID, times: int, newest: bool) -> None:
        """Start a dead job anew, by its newest dead letter or one that was redriven before; twice changes nothing."""
        letters = self.runner.run(
            self.admin.fetch("SELECT id, retried_at FROM ai_jobs_dlq WHERE original_job_id = $1 ORDER BY id", job_id)
        )
        if not letters:
            return
        letter = letters[-1 if newest else 0]
        for _ in range(times):
            if letter["retried_at"] is not None or self.model.redrive(job_id):
                assert self.system(dead_letters.retry, letter["id"], "") == job_id
            else:
                with pytest.raises(Conflict):
                    self.system(dead_letters.retry, letter["id"], "")

    # What time and operators do -----------------------------------------------------------------------------------

    @rule(one=held)
    def expire(self, one: Held) -> None:
        """Let a lease have run out; what it was for may long be over."""
        self.owner("UPDATE ai_jobs SET lease_expires_at = now() - interval '1 s' WHERE lease_token = $1", one.token)
        if self.model.holds(*one):
            self.model.jobs[one.job_id].expired = True

    @rule()
    def sweep(self) -> None:
        """Free the leases that ran out; the backoff of those freed does not end while the test looks on."""
        due = len([job for job in self.model.jobs.values() if job.state is State.QUEUED and job.due])
        self.owner("DELETE FROM jobs WHERE lane <> 'ai'")  # deliveries of what completed
        swept = self.system(jobs.sweep, 100)
        assert dict(swept) == {**self.model.sweep(), "due": due}
        self.owner("UPDATE ai_jobs SET run_at = now() + interval '1 h' WHERE status = 'queued' AND run_at > now()")

    @rule(job_id=queued)
    def backoff_ends(self, job_id: UUID) -> None:
        """Let a job's time have come."""
        self.owner("UPDATE ai_jobs SET run_at = now() - interval '1 s' WHERE id = $1", job_id)
        self.model.jobs[job_id].due = True

    @rule(target=held, one=held, times=st.integers(1, 3))
    def outlive(self, one: Held, times: int) -> MultipleResults[Held]:
        """Let other workers take over, as long as the job may be tried again; those before become zombies."""
        given: list[Held] = []
        for _ in range(times):
            self.expire(one)
            self.sweep()
            self.backoff_ends(one.job_id)
            given += self.claim(3).values
            one = next((heir for heir in given if self.model.holds(*heir) and heir.job_id == one.job_id), one)
        return multiple(*given)

    @rule(job_type=st.sampled_from(TYPES), paused=st.booleans())
    def switch(self, job_type: str, paused: bool) -> None:
        """Pause a type of job, or resume it."""
        self.owner(
            "INSERT INTO queue_control (name, paused) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET paused = $2",
            *(job_type, paused),
        )
        (self.model.paused.add if paused else self.model.paused.discard)(job_type)
