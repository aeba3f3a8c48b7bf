"""How soon work goes on after a fault: `python -m benchmarks.queue_recovery kill --rounds 20`.

Real workers with the product's own intervals, and PostgreSQL and Valkey of its own. `kill`, `freeze` and `cut` (the
worker's network passes nothing and closes nothing) measure the time from the fault to the start of each of its jobs in
another worker. `restart` restarts PostgreSQL, and `postgres` and `redis` take it away for `--away` seconds: they
measure the time from its return to the end of all jobs, and count attempts spent and jobs that died. Every job writes
one row: more than one would be a double effect, and the exit code is 1.
"""

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from benchmarks.queue_faults.rig import Rig
from benchmarks.queue_faults.run import Run
from benchmarks.queue_faults.staff import Member
from benchmarks.queue_faults.work import RESULT
from jobs.queue.intervals import Intervals

if TYPE_CHECKING:
    from datetime import datetime

    from store.pool import Record

POLL_SECONDS = 0.02
SLOTS = 30
SEEN = "SELECT EXISTS (SELECT FROM worker_sessions WHERE worker LIKE $1)"
# A lease, a sweep and the backoff, with room.
PATIENCE_SECONDS = 180.0


@dataclass
class Tally:
    """What the rounds of one fault gave."""

    seconds: list[float] = field(default_factory=list)
    jobs: int = 0
    dead: int = 0
    spent: int = 0
    doubled: int = 0
    missing: int = 0

    def line(self, fault: str) -> str:
        """Return it as one line."""
        ordered = sorted(self.seconds)
        p50, p99 = (ordered[min(int(len(ordered) * part), len(ordered) - 1)] for part in (0.5, 0.99))
        return (
            f"{fault}: n={len(ordered)} p50={p50:.2f} s p99={p99:.2f} s max={ordered[-1]:.2f} s; {self.jobs} jobs, "
            f"{self.dead} dead, {self.spent} attempts spent, {self.doubled} doubled, {self.missing} without a result"
        )


async def lost_worker(rig: Rig, count: int, harm: Callable[[Member], Awaitable[None]], tally: Tally) -> None:
    """Let a worker hold jobs, harm it, and measure until each has started in another."""
    run = await _run(rig, count)
    await asyncio.gather(*(run.enqueue("held", visit) for visit in range(count)))
    jobs = await _until(run.unfinished, lambda rows: all(row["status"] == "running" for row in rows))
    member = rig.staff.members[0]
    suffix = f"-{member.pid}"
    theirs = [row["id"] for row in jobs if str(row["worker"]).endswith(suffix)]
    began = time.time()
    await harm(member)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(found := await _second_starts(rig, theirs)) < len(theirs):
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(POLL_SECONDS)
    tally.seconds += [found[job].timestamp() - began for job in theirs if job in found]
    member.gate.mend()
    member.signal(signal.SIGCONT)
    # Those that the well worker holds would sit there for ten minutes.
    for other in rig.staff.members[1:]:
        other.signal(signal.SIGKILL)
    await _until(run.unfinished, lambda rows: not rows)
    await _judge(rig, run, tally)
    await asyncio.gather(*(_back(rig, one) for one in rig.staff.members))


async def outage(rig: Rig, count: int, harm: Callable[[Rig], Awaitable[None]], tally: Tally) -> None:
    """Let jobs be under way, take a server away and back, and measure from its return until all are done."""
    run = await _run(rig, count)
    await asyncio.gather(*(run.enqueue("stepping", visit) for visit in range(count)))
    await _until(run.unfinished, lambda rows: all(row["status"] == "running" for row in rows))
    await harm(rig)
    returned = time.monotonic()
    await _until(run.unfinished, lambda rows: not rows)
    tally.seconds.append(time.monotonic() - returned)
    await _judge(rig, run, tally)


async def kill(member: Member) -> None:
    """Kill it with -9; it is replaced at once."""
    member.signal(signal.SIGKILL)


async def freeze(member: Member) -> None:
    """Stop it."""
    member.signal(signal.SIGSTOP)


async def cut(member: Member) -> None:
    """Cut its network."""
    member.gate.black_hole()


async def restart(rig: Rig) -> None:
    """Restart PostgreSQL as an administrator does."""
    rig.postgres.end(signal.SIGINT)
    await rig.postgres.start()


def postgres_away(seconds: float) -> Callable[[Rig], Awaitable[None]]:
    """Take PostgreSQL away for so long."""

    async def harm(rig: Rig) -> None:
        rig.postgres.end(signal.SIGINT)
        await asyncio.sleep(seconds)
        await rig.postgres.start()

    return harm


def redis_away(seconds: float) -> Callable[[Rig], Awaitable[None]]:
    """Take Redis away for so long."""

    async def harm(rig: Rig) -> None:
        rig.valkey.end(signal.SIGKILL)
        await asyncio.sleep(seconds)
        await rig.valkey.start()

    return harm


async def _run(rig: Rig, count: int) -> Run:
    async with rig.eyes() as conn:
        rows = await conn.fetch(
            "INSERT INTO site_visits (tenant_id) SELECT $1 FROM generate_series(1, $2) RETURNING id",
            *(rig.tenant.id, count),
        )
    return Run(rig, [row["id"] for row in rows])


async def _until(
    ask: Callable[[], Awaitable[Sequence["Record"]]], enough: Callable[[Sequence["Record"]], bool]
) -> Sequence["Record"]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not enough(rows := await ask()):  # noqa: ASYNC110 - other processes send no signal
            await asyncio.sleep(POLL_SECONDS)
    return rows


async def _second_starts(rig: Rig, jobs: Sequence[UUID]) -> "dict[UUID, datetime]":
    async with rig.eyes() as conn:
        rows = await conn.fetch(
            "SELECT job_id, max(created_at) AS at FROM processing_events WHERE job_id = ANY ($1) "
            "AND type = 'job.started' GROUP BY 1 HAVING count(*) > 1",
            jobs,
        )
    return {row["job_id"]: row["at"] for row in rows}


async def _back(rig: Rig, member: Member) -> None:
    """Wait until the worker in this place is seen."""
    async with asyncio.timeout(PATIENCE_SECONDS), rig.eyes() as conn:
        while not await conn.fetchval(SEEN, f"%-{member.pid}"):  # noqa: ASYNC110 - as above
            await asyncio.sleep(POLL_SECONDS)


async def _judge(rig: Rig, run: Run, tally: Tally) -> None:
    async with rig.eyes() as conn:
        done = await conn.fetch(
            "SELECT id, attempts FROM jobs WHERE visit_id = ANY ($1) AND status = 'completed'", run.visits
        )
        results = await conn.fetch(
            "SELECT payload ->> 'job_id' AS job, count(*) AS rows FROM visit_sync_events "
            "WHERE visit_id = ANY ($1) AND event = $2 GROUP BY 1",
            *(run.visits, RESULT),
        )
    tally.jobs += len(run.accepted)
    tally.dead += len(run.accepted) - len(done)
    tally.spent += sum(row["attempts"] - 1 for row in done)
    tally.doubled += sum(row["rows"] > 1 for row in results)
    tally.missing += len(run.accepted) - len(results)


async def measure(options: argparse.Namespace) -> int:
    """Do the rounds; returns the exit code."""
    losses = {"kill": kill, "freeze": freeze, "cut": cut}
    outages = {"restart": restart, "postgres": postgres_away(options.away), "redis": redis_away(options.away)}
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="scopekit-queue-recovery-") as directory:
        async with Rig.standing(Path(directory), Intervals(), SLOTS) as rig:
            await asyncio.gather(*(_back(rig, one) for one in rig.staff.members))
            for number in range(options.rounds):
                if options.fault in losses:
                    await lost_worker(rig, options.jobs, losses[options.fault], tally)
                else:
                    await outage(rig, options.jobs, outages[options.fault], tally)
                print(f"round {number + 1}: {tally.line(options.fault)}", flush=True)
    return 1 if tally.doubled or tally.missing else 0


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("fault", choices=("kill", "freeze", "cut", "restart", "postgres", "redis"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=25, help="jobs under way in each round")
    parser.add_argument("--away", type=float, default=25.0, help="seconds that PostgreSQL or Redis is away")
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    sys.exit(asyncio.run(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
