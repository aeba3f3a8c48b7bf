"""One attempt at one job: the interface for its work, every write fenced by the lease."""

import asyncio
from enum import StrEnum
from typing import Any
from uuid import UUID

from jobs.queue.context import Json, Writes
from jobs.queue.errors import JobCancelled, LeaseLost
from jobs.queue.retry import CAP_SECONDS
from jobs.queue.states import FINAL, Move, State, after
from jobs.worker.attempts.completer import Completer
from jobs.worker.attempts.event_writer import EventWriter
from store.pool import Database, Record
from store.queue import jobs
from store.queue.jobs import Lease


class StopReason(StrEnum):
    """Why an attempt is stopped from outside; the first reason stays."""

    CANCELLED = "cancelled"
    LOST = "lost"
    HANDED_BACK = "handed_back"
    OUT_OF_TIME = "out_of_time"


class JobAttempt:
    """A leased row of `jobs`; implements `jobs.queue.context.JobContext`."""

    def __init__(
        self,
        db: Database,
        row: Record,
        held_until: float,
        completer: Completer | None = None,
        *,
        retry_cap_s: float = CAP_SECONDS,
    ) -> None:
        """`held_until` is on this process's monotonic clock; beyond it the lease may be somebody else's."""
        self.row = row
        self.lease = Lease(row["id"], row["lease_token"])
        self.held_until = held_until
        self.retry_cap_s = retry_cap_s
        # Taken for lost only because the database did not say otherwise in time: it goes back if it is ours after all.
        self.is_unconfirmed = False
        self.stop_reason: StopReason | None = None
        self.stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Whoever gave this attempt a slot has it back once the work has its result and only storing it is left.
        self.worked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._db = db
        self._completer = completer or Completer(db)
        self._state = State.RUNNING
        self._events = EventWriter(db, self.lease, lambda: self.stop(StopReason.LOST))

    @property
    def job_id(self) -> UUID:
        """The job's row."""
        return self.lease.job_id

    @property
    def visit_id(self) -> UUID:
        """The visit the job works on."""
        visit_id: UUID = self.row["visit_id"]
        return visit_id

    @property
    def tenant_id(self) -> UUID:
        """The tenant the visit belongs to."""
        tenant_id: UUID = self.row["tenant_id"]
        return tenant_id

    @property
    def payload(self) -> Json:
        """What the job was queued with."""
        payload: Json = self.row["payload"]
        return payload

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        attempt: int = self.row["attempts"]
        return attempt

    @property
    def finished(self) -> bool:
        """Whether this attempt completed the job."""
        return self._state in FINAL

    async def checkpoint_get(self, step: str, key: str) -> dict[str, Any] | None:
        """Read the value that an earlier attempt stored under (step, key), or None."""
        async with self._db.connection() as conn:
            return await jobs.checkpoint(conn, self.job_id, step, key)

    async def checkpoint_put(self, step: str, key: str, value: Json, writes: Writes | None = None) -> None:
        """Store a JSON value under (step, key), with `writes` in the same transaction. Raises `LeaseLost`."""
        async with self._db.as_system() as conn:
            held = await jobs.put_checkpoint(conn, self.lease, step, key, value)
            if held and writes is not None:
                await writes(conn)
        self._require(held=held)

    async def event(self, event_type: str, payload: Json) -> None:
        """Tell the visit's subscribers. Raises `LeaseLost`."""
        await self._events.write(event_type, payload)

    def raise_if_cancelled(self) -> None:
        """Raise `JobCancelled` when somebody asked for the job to stop."""
        if self.stop_reason is StopReason.CANCELLED:
            raise JobCancelled("Somebody asked for this job to stop.")

    async def complete(self, result: Json, writes: Writes | None = None) -> None:
        """Run `writes` and store result, final event and analytics in one transaction.

        Without `writes` the transaction is shared with others that finish now. Raises `LeaseLost`, and `JobCancelled`
        when somebody asked before the commit; then nothing was written.
        """
        done = after(self._state, Move.COMPLETE)
        await self._events.flush()
        self.leave_slot()
        await (self._complete_beside_others(result) if writes is None else self._complete_alone(result, writes))
        self._state = done

    async def _complete_beside_others(self, result: Json) -> None:
        stored = dict(result)
        analytics: Json | None = stored.pop("analytics", None)
        answer = await self._completer.complete(self.lease, stored, analytics)
        if answer == "cancelled":
            raise JobCancelled("Somebody asked for this job to stop.")
        self._require(held=answer == "completed")

    async def _complete_alone(self, result: Json, writes: Writes) -> None:
        async with self._db.as_system() as conn:
            answer = await jobs.begin_completion(conn, self.lease)
            if answer == "cancelled":
                raise JobCancelled("Somebody asked for this job to stop.")
            self._require(held=answer == "held")
            stored = {**result, **(await writes(conn) or {})}
            analytics: Json | None = stored.pop("analytics", None)
            self._require(held=await jobs.complete(conn, self.lease, stored, analytics))

    def stop(self, reason: StopReason) -> None:
        """Ask the executor to end this attempt."""
        self.stop_reason = self.stop_reason or reason
        _settle(self.stopped)

    def leave_slot(self) -> None:
        """Let another job start: the rest of the work here is to store how this one ended."""
        _settle(self.worked)

    async def close(self) -> None:
        """Write the last events; nothing may be asked of the run after this."""
        self.leave_slot()
        await self._events.close()

    def _require(self, *, held: bool) -> None:
        if not held:
            self.stop(StopReason.LOST)
            raise LeaseLost("Another worker has this job now.")


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
