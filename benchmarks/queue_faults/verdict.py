"""What went wrong in a run, if anything: the tables against what was promised, and against each other."""

from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING
from uuid import UUID

from benchmarks.queue_faults.history import History, walk
from benchmarks.queue_faults.run import Run
from benchmarks.queue_faults.work import RESULT
from realtime.protocol.epoch import EPOCH_GAP

if TYPE_CHECKING:
    import asyncpg

PLACES = """
SELECT id, job_type, status, attempts FROM ai_jobs WHERE visit_id = ANY ($1)
UNION ALL
SELECT original_job_id, job_type, 'failed', attempts FROM ai_jobs_dlq WHERE visit_id = ANY ($1) AND retried_at IS NULL
"""
EVENTS = """
SELECT visit_id, seq, job_id, type, payload FROM processing_events WHERE visit_id = ANY ($1) ORDER BY visit_id, seq
"""
HEADS = "SELECT visit_id, last_seq FROM visit_streams WHERE visit_id = ANY ($1)"
ROWS = """
SELECT (payload ->> 'job_id')::uuid AS job_id, count(*) AS found FROM visit_sync_events
WHERE visit_id = ANY ($1) AND event = $2 GROUP BY 1
"""
ANALYTICS = """
SELECT (properties ->> 'job_id')::uuid AS job_id, count(*) AS found FROM analytics_events
WHERE event = $2 AND properties ->> 'job_id' = ANY (SELECT id::text FROM unnest($1::uuid[]) AS id) GROUP BY 1
"""
CHECKPOINTS = "SELECT DISTINCT job_id FROM job_steps WHERE visit_id = ANY ($1)"
# What a final state leaves nothing of.
CLEAN = frozenset({"completed", "cancelled"})


class Verdict:
    """Judges one run by one snapshot of the tables."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.found: list[str] = []
        self.states: Counter[str] = Counter()

    async def read(self) -> None:
        """Look at everything, as of one moment."""
        async with self._run.rig.eyes() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            places = await conn.fetch(PLACES, self._run.visits)
            self._judge_places(places)
            histories = self._judge_streams(
                await conn.fetch(EVENTS, self._run.visits), await conn.fetch(HEADS, self._run.visits)
            )
            where = {row["id"]: row for row in places}
            self._judge_histories(histories, where)
            states = {job_id: str(row["status"]) for job_id, row in where.items()}
            await self._judge_results(conn, states)
            self._judge_cancels(states)

    def _judge_places(self, places: "list[asyncpg.Record]") -> None:
        """Hold that accepted = completed + dead + cancelled + live, as sets, each in one place."""
        seen = Counter(row["id"] for row in places)
        self.states = Counter(row["status"] for row in places)
        self._tell("lost", self._run.accepted - seen.keys())
        self._tell("never accepted", seen.keys() - self._run.accepted)
        self._tell("in two places", {job_id for job_id, times in seen.items() if times > 1})

    def _judge_streams(
        self, events: "list[asyncpg.Record]", heads: "list[asyncpg.Record]"
    ) -> dict[UUID, list[tuple[str, dict[str, object]]]]:
        """Hold that each visit's numbers are whole, from 1 to last; returns the events by job."""
        numbers: dict[UUID, list[int]] = defaultdict(list)
        of_job: dict[UUID, list[tuple[str, dict[str, object]]]] = defaultdict(list)
        for row in events:
            numbers[row["visit_id"]].append(row["seq"])
            of_job[row["job_id"]].append((row["type"], row["payload"]))
        last = {row["visit_id"]: row["last_seq"] for row in heads}
        for visit_id, found in numbers.items():
            leaps = [step for step in pairwise([0, *found, last[visit_id] + 1]) if step[1] - step[0] != 1]
            if leaps and not (self._run.may_leap and all(after - before > EPOCH_GAP for before, after in leaps)):
                self.found.append(f"the stream of visit {visit_id} is not 1..{last[visit_id]}: {found}")
        return of_job

    def _judge_histories(
        self, events: dict[UUID, list[tuple[str, dict[str, object]]]], where: "dict[UUID, asyncpg.Record]"
    ) -> None:
        """Hold that each job's events are a life that the table of states allows, and end where its row is."""
        for job_id, row in where.items():
            history: History = walk(events[job_id])
            if history.state != row["status"]:
                history.wrong.append(f"its events end {history.state}, its row says {row['status']}")
            if row["attempts"] not in history.attempts:
                history.wrong.append(f"{row['attempts']} attempts, by its events {sorted(history.attempts)}")
            self.found += [f"{row['job_type']} {job_id}: {wrong}; {events[job_id]}" for wrong in history.wrong]

    async def _judge_results(self, conn: "asyncpg.Connection[asyncpg.Record]", states: dict[UUID, str]) -> None:
        """Hold that a completed job has one result of each kind, any other none, and neither of them checkpoints."""
        completed = {job_id for job_id, state in states.items() if state == "completed"}
        rows = await conn.fetch(ROWS, self._run.visits, RESULT)
        analytics = await conn.fetch(ANALYTICS, list(states), RESULT)
        for kind, counted in (("rows", rows), ("analytics", analytics)):
            found = {row["job_id"]: row["found"] for row in counted}
            self._tell(f"with doubled {kind}", {job_id for job_id, times in found.items() if times > 1})
            self._tell(f"completed without {kind}", completed - found.keys())
            self._tell(f"not completed, with {kind}", found.keys() - completed)
        clean = {job_id for job_id, state in states.items() if state in CLEAN}
        kept = {row["job_id"] for row in await conn.fetch(CHECKPOINTS, self._run.visits)}
        self._tell("final, with checkpoints left", clean & kept)

    def _judge_cancels(self, states: dict[UUID, str]) -> None:
        """Hold that after a cancel was accepted a job never completes."""
        completed = {job_id for job_id, state in states.items() if state == "completed"}
        self._tell("completed after an accepted cancel", self._run.cancelled & completed)

    def _tell(self, what: str, jobs: set[UUID]) -> None:
        if jobs:
            self.found.append(f"{len(jobs)} {what}: {sorted(map(str, jobs))}")
