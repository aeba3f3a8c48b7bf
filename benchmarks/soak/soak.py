"""One soak: a minute of everything, rest, many minutes of everything, rest, and the verdict."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from random import Random

import orjson

from benchmarks.realtime.writers import Writers
from benchmarks.soak import report
from benchmarks.soak.house import House
from benchmarks.soak.ledger import Ledger
from benchmarks.soak.people.caller import Caller
from benchmarks.soak.people.crowd import Crowd
from benchmarks.soak.people.material import Material
from benchmarks.soak.people.traffic import Traffic
from benchmarks.soak.samples import tables
from benchmarks.soak.samples.judgement import excess, growths
from benchmarks.soak.samples.sample import Key, Sample
from benchmarks.soak.samples.watch import EVENTS_KEPT, SERVERS, Watch

# Past this what is still held is held for good: the longest that anything waits is the minute of a wake's key in Redis.
REST_SECONDS = 100.0
LOOK_SECONDS = 2.0
# Nobody has these at rest, whatever the warm-up left.
NOTHING_OF = {
    *("sockets of clients", "sockets to s3", "streams open", "visits watched", "spools"),
    *("jobs under way", "jobs running here", "photos to be developed", EVENTS_KEPT),
}


class Soak:
    """What is needed for it, and what is wrong so far."""

    def __init__(self, house: House, watch: Watch, material: Material, seed: int) -> None:
        self.wrong: list[str] = []
        self._house = house
        self._watch = watch
        self._random = Random(seed)
        self._traffic = Traffic(house, material, self._random)
        self._writers = Writers(house.site, seed)

    async def run(self, *, warm_up_s: float, seconds: float, streams: int) -> None:
        """Do it all and print the figures; what was wrong is in `wrong` then."""
        fresh = await self._rest(self._silent)
        await self._part(warm_up_s, streams, Ledger())
        warm = await self._rest(_unrest)
        before, ledger = await self._sizes(), Ledger()
        sampling = asyncio.create_task(self._watch.keep_sampling())
        took = await self._part(seconds, streams, ledger)
        sampling.cancel()
        report.tell_requests(ledger, took)
        end = await self._rest(lambda sample: _unrest(sample) | set(excess(warm, sample, self._house.bounds)))
        self._judge_memory(fresh, warm, end)
        self._judge_tables(before, await self._sizes())
        self._judge_held(fresh, warm, end)
        self.wrong += _errors(self._house.site.directory)
        report.tell_wrong(self.wrong)

    def _judge_memory(self, fresh: Sample, warm: Sample, end: Sample) -> None:
        grown = growths(fresh, warm, self._watch.run, end, theirs=SERVERS.values())
        report.tell_growths(grown)
        self.wrong += [f"{growth.who} grows by {growth.a_minute:.2f} {growth.what}" for growth in grown if growth.leaks]

    def _judge_tables(self, before: dict[str, tables.Size], after: dict[str, tables.Size]) -> None:
        report.tell_tables(before, after)
        self.wrong += [f"nothing bounds the table {name}" for name in tables.unexplained(before, after)]

    def _judge_held(self, fresh: Sample, warm: Sample, end: Sample) -> None:
        report.tell_held(fresh, warm, self._watch.run, end)
        beyond = excess(warm, end, self._house.bounds)
        self.wrong += [f"{who}: {what}: {count}, {most} may be" for (who, what), (count, most) in beyond.items()]

    def _silent(self, sample: Sample) -> set[Key]:
        return {(who, "numbers") for who in self._house.processes.keys() - sample.blocks}

    async def _part(self, seconds: float, streams: int, ledger: Ledger) -> float:
        """Have traffic for so long; returns how long it was until everybody had finished."""
        dropped, began = self._watch.drops, time.monotonic()
        async with (
            Crowd.standing(self._house, streams, self._writers, self._random) as crowd,
            Caller.open(self._house.urls, ledger) as caller,
        ):
            await self._traffic.run(crowd, caller, seconds)
            took = time.monotonic() - began
            ledger.wrong += await crowd.faults()
            await self._watch.sample()
            ledger.wrong += crowd.breaks(self._watch.drops - dropped)
            print(f"{took:.0f} s of traffic: {crowd.told()}", flush=True)
        self.wrong += ledger.wrong
        return took

    async def _rest(self, unrest: Callable[[Sample], AbstractSet[Key]]) -> Sample:
        """Wait until nothing is left that should go, or it is clear that it stays; returns how everything stands."""
        began = time.monotonic()
        sample = await self._watch.sample()
        while (left := unrest(sample)) and time.monotonic() < began + REST_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
            sample = await self._watch.sample()
        told = ", ".join(sorted(f"{who}: {what}" for who, what in left))
        print(f"at rest after {time.monotonic() - began:.0f} s{f', but for {told}' if told else ''}", flush=True)
        return sample

    async def _sizes(self) -> dict[str, tables.Size]:
        return await tables.sizes(self._watch.admin)


def _unrest(sample: Sample) -> set[Key]:
    return {key for key, count in sample.held.items() if count and key[1] in NOTHING_OF}


def _errors(directory: Path) -> list[str]:
    """Return what our processes have logged as errors, each kind once."""
    found: Counter[str] = Counter()
    for path in (directory / "gateway.log", directory / "worker.log"):
        for line in path.read_bytes().splitlines():
            logged = orjson.loads(line) if line.startswith(b"{") else {"level": "error", "message": line.decode()}
            if logged["level"] in ("error", "critical"):
                found[logged["message"]] += 1
    return [f"logged {count} times: {message}" for message, count in found.most_common()]
