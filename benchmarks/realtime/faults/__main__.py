"""Nothing lost, doubled or out of order, whatever breaks: `python -m benchmarks.realtime.faults --minutes N --seed S`.

Real processes: a durable stack, a gateway that hears by way of a proxy (with `--bus redis` the bus, which a second
gateway may carry), many writers, and subscribers in the C client
that resume by Last-Event-ID. Faults are drawn by the seed, one after the other, some while part of the subscribers are
stalled. Most writers commit without waiting for the flush, so a crash takes back what subscribers have been given. In
the end every subscriber must have been given exactly what its visit holds, each document as the table has it (by
crc32), but for what a snapshot stands for (benchmarks/realtime/faults/verdict.py), and the table must hold all that was
promised. Exit code 1 when not.
"""

import argparse
import asyncio
import contextlib
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import orjson

from benchmarks.realtime.faults.bus_rig import BusRig
from benchmarks.realtime.faults.rig import Rig
from benchmarks.realtime.faults.verdict import Verdict, verdict_of
from benchmarks.realtime.machine import allow_files, load

WRITERS = 16
SETTLE_SECONDS = 90.0
LISTENER_MS = 250.0
RIGS: dict[str, type[Rig]] = {"notify": Rig, "redis": BusRig}


async def torment(rig: Rig, random: Random, healed: dict[str, list[float]], *, until: float) -> list[str]:
    """Do one fault after the other, noting healing times in ms; one that does not heal is returned, as the end."""
    kinds, weights = list(rig.FAULTS), list(rig.FAULTS.values())
    first = random.sample(kinds, len(kinds))  # each at least once
    while time.monotonic() < until:
        kind = first.pop() if first else random.choices(kinds, weights)[0]
        await asyncio.sleep(random.uniform(0.1, 0.8))
        await rig.all_open()
        try:
            async with rig.some_stalled(random) if random.random() < 0.25 else contextlib.nullcontext():
                took = await getattr(rig, kind)(random)
        except TimeoutError:
            return [f"{time.strftime('%H:%M:%S')} {kind} did not heal: {await rig.state()}"]
        healed[kind].append(took)
        stats = rig.client.ask("stats")
        wrong = stats["lost"] + stats["doubled"] + stats["reordered"]
        print(f"  {time.strftime('%H:%M:%S')} {kind:<20} healed in {took:7.0f} ms; {wrong} wrong so far", flush=True)
    return []


async def run(options: argparse.Namespace, opened: AsyncExitStack) -> int:
    """Set up, torment, check and report; returns the exit code."""
    directory = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="scopekit-faults-")))
    rig = await opened.enter_async_context(
        RIGS[options.bus].standing(directory, visits=options.visits, subscribers=options.subscribers, seed=options.seed)
    )
    random = Random(options.seed)
    began = time.monotonic()
    healed: dict[str, list[float]] = defaultdict(list)
    async with rig.writers.running(WRITERS, transactions_per_second=options.rate):
        unhealed = await torment(rig, random, healed, until=began + options.minutes * 60)
    if options.keep_log:
        await asyncio.to_thread(shutil.copy, directory / "gateway.log", options.keep_log)
    verdict = await verdict_of(rig, settle_s=SETTLE_SECONDS)
    verdict.wrong = unhealed + verdict.wrong
    _report(rig, healed, verdict, time.monotonic() - began)
    return 1 if verdict.wrong else 0


def _report(rig: Rig, healed: dict[str, list[float]], verdict: Verdict, seconds: float) -> None:
    stats, found = rig.client.ask("stats"), verdict.wrong
    print(
        f"\n{rig.writers.hoped:,} events committed without waiting and {len(rig.writers.acked):,} with, "
        f"{stats['deliveries']:,} delivered in {seconds:.0f} s, of which crashes took back {verdict.taken_back:,}"
    )
    print(f"{sum(map(len, healed.values()))} faults; streams opened again {stats['named_open'] - rig.client.size:,}")
    print(f"refused by status {stats['refused']}, ended in order {stats['ended']}, broken {stats['resets']}")
    for kind, times in healed.items():
        late = f"; {sum(t > LISTENER_MS for t in times)} over {LISTENER_MS:.0f} ms" if kind in rig.BY_LISTENER else ""
        print(f"  {kind:<20} {len(times):3}  healed p50 {statistics.median(times):7.0f} max {max(times):7.0f} ms{late}")
    if rig.noticed:
        print(f"  a black hole was noticed after p50 {statistics.median(rig.noticed):.2f} max {max(rig.noticed):.2f} s")
    print(f"violations: {len(found)}")
    for line in found[:40]:
        print(f"  {line}")
    if found:
        print(orjson.dumps(rig.client.ask("violations"), option=orjson.OPT_INDENT_2).decode())


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--visits", type=int, default=40)
    parser.add_argument("--subscribers", type=int, default=120)
    parser.add_argument("--rate", type=float, default=200, help="transactions a second, of about 4 events")
    parser.add_argument("--bus", choices=sorted(RIGS), default="notify", help="how events reach the gateway")
    parser.add_argument("--keep-log", help="where to copy the gateway's log")
    options = parser.parse_args()
    allow_files()
    print(f"seed {options.seed}; {load()}")

    async def whole() -> int:
        async with AsyncExitStack() as opened:
            return await run(options, opened)

    code = asyncio.run(whole())
    print(load())
    sys.exit(code)


if __name__ == "__main__":
    main()
