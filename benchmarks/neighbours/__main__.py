"""What a quiet tenant sees beside each of four busy ones: `python -m benchmarks.neighbours [--before CHECKOUT]`.

The goals: the quiet tenant's p99 is at most twice what it is alone, it sees no error, `/readyz` says 200 throughout,
and the busy tenant gets at least half of what it gets alone. With `--before`, a checkout of an older version with a
`.venv` like this one, its gateway runs over a database of its own, and the two take turns in each round.
"""

import argparse
import asyncio
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from benchmarks.neighbours.house import Side, open_side
from benchmarks.neighbours.tenants import NEIGHBOURS, Done, Seen, look_around, run_neighbour
from devstack.stack import Stack
from tests.stack import make_template

HERE = Path(__file__).parents[2]


@dataclass
class Figures:
    """Of one version beside one neighbour, over all rounds."""

    alone: Seen = field(default_factory=Seen)
    beside: Seen = field(default_factory=Seen)
    busy_alone: list[Done] = field(default_factory=list)
    busy_beside: list[Done] = field(default_factory=list)

    def line(self) -> str:
        """Put them in words."""
        alone, beside = _p99(self.alone), _p99(self.beside)
        before, after = (median(done.per_second for done in each) for each in (self.busy_alone, self.busy_beside))
        refused = sum(done.refused for done in self.busy_beside)
        failed = sum(done.failed for done in self.busy_beside)
        return (
            f"quiet p99 {alone * 1000:7.1f} -> {beside * 1000:8.1f} ms ({beside / alone:6.1f} x)  "
            f"errors {self.beside.failed:3d}  unready {self.beside.unready:3d}  "
            f"busy {before:6.2f} -> {after:6.2f}/s ({after / before if before else 0:4.2f} x)  "
            f"refused {refused:4d}  failed {failed:3d}"
        )


async def measure(side: Side, kind: str, seconds: float, figures: Figures, pool: ProcessPoolExecutor) -> None:
    """One round: the quiet tenant alone, the busy one alone, both. The busy one is a process of its own."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.call_later(seconds / 2, stop.set)
    _add(figures.alone, await look_around(side, stop))
    figures.busy_alone.append(await loop.run_in_executor(pool, run_neighbour, kind, side, seconds))
    stop = asyncio.Event()
    beside = asyncio.create_task(look_around(side, stop))
    figures.busy_beside.append(await loop.run_in_executor(pool, run_neighbour, kind, side, seconds))
    stop.set()
    _add(figures.beside, await beside)


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--before", type=Path, help="an older checkout, to be measured in turn with this one")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--only", choices=list(NEIGHBOURS), action="append")
    options = parser.parse_args()
    checkouts = ({"before": options.before.resolve()} if options.before else {}) | {"now": HERE}
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="scopekit-bench-")))
        endpoints = opened.enter_context(Stack(directory / "stack", durable=False))
        asyncio.run(make_template(endpoints))
        sides = [opened.enter_context(open_side(name, at, endpoints, directory)) for name, at in checkouts.items()]
        context = multiprocessing.get_context("spawn")
        pool = opened.enter_context(ProcessPoolExecutor(1, mp_context=context))
        for kind in options.only or NEIGHBOURS:
            figures = {side.name: Figures() for side in sides}
            for number in range(options.rounds):
                for side in sides if number % 2 == 0 else reversed(sides):
                    asyncio.run(measure(side, kind, options.seconds, figures[side.name], pool))
            for name, found in figures.items():
                print(f"{kind:10} {name:7} {found.line()}", flush=True)


def _add(all_of: Seen, more: Seen) -> None:
    all_of.seconds += more.seconds
    all_of.failed += more.failed
    all_of.unready += more.unready


def _p99(seen: Seen) -> float:
    return quantiles(seen.seconds, n=100)[98]


if __name__ == "__main__":
    main()
