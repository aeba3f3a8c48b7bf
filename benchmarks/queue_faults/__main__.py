"""Nothing lost, nothing doubled, whatever breaks: `python -m benchmarks.queue_faults --minutes N --seed S`.

Real processes: PostgreSQL and Valkey of its own, two workers that are replaced when they end, and a client that repeats
what was not answered. A run queues a few jobs and does one thing to them, both drawn by (seed, number); then its part
of the tables is judged at once, and again when every job has become final. Exit code 1 when anything was wrong.
`--seed S --first N --runs 1` does run N of seed S again. `--thorough` keeps Redis away for a minute and restarts
workers twenty times where it else takes seconds and a few.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from random import Random

import orjson

from benchmarks.queue_faults.faults import KINDS, Scale, kind_of
from benchmarks.queue_faults.rig import Rig
from benchmarks.queue_faults.run import Run
from benchmarks.queue_faults.verdict import Verdict

SHORT = Scale(restarts=4, away_s=1.5)
THOROUGH = Scale(restarts=20, away_s=60.0)


@dataclass
class Outcome:
    """A line of the ledger."""

    seed: int
    number: int
    kind: str
    how: str = ""
    seconds: float = 0.0
    jobs: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


async def one(rig: Rig, seed: int, number: int, scale: Scale) -> Outcome:
    """Do one run and judge it."""
    outcome = Outcome(seed, number, kind_of(seed, number))
    began = time.monotonic()
    run = await Run.begin(rig)
    before, after = Verdict(run), Verdict(run)
    try:
        outcome.how = await KINDS[outcome.kind](run, Random(f"{seed}/{number}"), scale)
        await before.read()
        await run.settled()
    except (TimeoutError, AssertionError) as error:
        unfinished = [dict(row) for row in await run.unfinished()]
        outcome.violations.append(f"it did not heal: {error!r}; {unfinished}")
    await after.read()
    outcome.violations += before.found + after.found + rig.staff.misfits
    rig.staff.misfits.clear()
    outcome.jobs = dict(after.states)
    outcome.seconds = round(time.monotonic() - began, 3)
    return outcome


async def campaign(options: argparse.Namespace) -> int:
    """Do runs until time or number is up, telling each that went wrong; returns the exit code."""
    scale = THOROUGH if options.thorough else SHORT
    until = time.monotonic() + options.minutes * 60
    kinds: Counter[str] = Counter()
    jobs: Counter[str] = Counter()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="scopekit-queue-faults-") as directory:
        async with Rig.standing(Path(directory)) as rig:
            for number in count(options.first):
                if number >= options.first + options.runs or time.monotonic() > until:
                    break
                outcome = await one(rig, options.seed, number, scale)
                kinds[outcome.kind] += 1
                jobs.update(outcome.jobs)
                wrong += len(outcome.violations)
                _note(outcome, options)
    _report(options.seed, kinds, jobs, wrong)
    return 1 if wrong else 0


def _note(outcome: Outcome, options: argparse.Namespace) -> None:
    if options.ledger:
        with Path(options.ledger).open("ab") as ledger:
            ledger.write(orjson.dumps(asdict(outcome)) + b"\n")
    if options.verbose or outcome.violations:
        print(f"{outcome.number:5} {outcome.kind:<22} {outcome.seconds:6.2f} s  {outcome.how:<28} {outcome.jobs}")
    for violation in outcome.violations:
        print(f"      seed {outcome.seed} run {outcome.number}: {violation}", flush=True)


def _report(seed: int, kinds: Counter[str], jobs: Counter[str], wrong: int) -> None:
    print(f"\nseed {seed}: {kinds.total()} runs, {jobs.total()} jobs {dict(jobs)}")
    for kind, times in kinds.most_common():
        print(f"  {kind:<22} {times}")
    print(f"violations: {wrong}")


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--runs", type=int, default=sys.maxsize, help="most runs")
    parser.add_argument("--ledger", help="file to append a JSON line per run to")
    parser.add_argument("--thorough", action="store_true", help="Redis 60 s away, 20 restarts")
    parser.add_argument("--verbose", action="store_true", help="tell every run, not only what went wrong")
    # A pool that cannot connect says so with a trace; here that is what was done to it.
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    sys.exit(asyncio.run(campaign(parser.parse_args())))


if __name__ == "__main__":
    main()
