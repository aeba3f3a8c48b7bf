"""Measure the queue: `python -m benchmarks.queue [speed|claims|latency|bulk|old|fairness|mixed|redis ...]`."""

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable

import asyncpg

from benchmarks.queue import speed
from benchmarks.queue.bulk import measure_bulk
from benchmarks.queue.claims import measure_claims, measure_machine
from benchmarks.queue.fairness import measure_fairness
from benchmarks.queue.floor import Floor
from benchmarks.queue.latency import measure_latency
from benchmarks.queue.mixed import measure_mixed
from benchmarks.queue.outage import measure_outage
from benchmarks.queue.peers import arq_rate, procrastinate_rate

BULKS = 5


async def say_speed(floor: Floor, scale: float) -> None:
    """Print no-op jobs a second beside the others', and how busy fifty slots are kept by jobs of 100 ms."""
    count = round(speed.NOTHINGS * scale)
    print(f"  no-op, {speed.PROCESSES} processes      {await speed.measure_nothing(floor, count):8.0f} /s")
    print(f"  procrastinate            {await procrastinate_rate(floor, count // 10):8.0f} /s")
    print(f"  arq as it comes          {await arq_rate(floor, count // 10, tuned=False):8.0f} /s")
    print(f"  arq tuned                {await arq_rate(floor, count // 3, tuned=True):8.0f} /s")
    for processes in (1, 2):
        share = await speed.measure_steady(floor, round(speed.STEADIES * scale), processes=processes)
        print(f"  100 ms at 50, {processes} process(es) {share:8.1%} of the ideal")


async def say_claims(floor: Floor, scale: float) -> None:
    """Print how long claims take in a full table."""
    finished, queued = round(1_000_000 * scale), round(100_000 * scale)
    print(f"  {queued} queued, {finished} finished")
    for name, (median, worst) in (await measure_claims(floor, finished=finished, queued=queued, claims=1000)).items():
        print(f"  {name:<26} p50 {median:.2f} ms, p99 {worst:.2f} ms")
    median, worst = measure_machine(1000)
    print(f"  0.5 ms of work without I/O  p50 {median:.2f} ms, p99 {worst:.2f} ms")


async def say_latency(floor: Floor, scale: float) -> None:
    """Print the time from asking to beginning."""
    median, worst = await measure_latency(floor, count=round(1000 * scale))
    print(f"  enqueue to start: p50 {median:.1f} ms, p99 {worst:.1f} ms")


async def say_bulk(floor: Floor, scale: float) -> None:
    """Print how fast one statement, and two at once, queue jobs of many visits, each with its event."""
    count = round(30_000 * scale)
    for photographed, visits in ((False, "no event yet"), (True, "a photo each")):
        for sessions in (1, 2):
            rates = sorted(
                [await measure_bulk(floor, count, sessions, photographed=photographed) for _ in range(BULKS)]
            )
            print(
                f"  bulk enqueue, {visits}, {sessions} session(s) {rates[BULKS // 2]:8.0f} /s "
                f"(of {BULKS}: {rates[0]:.0f} to {rates[-1]:.0f})"
            )


async def say_old(floor: Floor, scale: float) -> None:
    """Print the share of the speed that is left while a transaction from before all this stays open elsewhere."""
    count = round(speed.NOTHINGS * scale)
    free = await speed.measure_nothing(floor, count)
    other = await asyncpg.connect(floor.services.admin_url)
    try:
        transaction = other.transaction(isolation="repeatable_read")
        await transaction.start()
        await other.fetchval("SELECT count(*) FROM tenants")
        held = await speed.measure_nothing(floor, count, forget=False)
    finally:
        other.terminate()
    print(f"  beside an old transaction {held:8.0f} /s, {held / free:.0%} of {free:.0f} /s")


async def say_fairness(floor: Floor, scale: float) -> None:
    """Print how long one tenant's jobs wait beside another's ten thousand."""
    waits = await measure_fairness(floor, crowd=round(10_000 * scale), count=round(300 * scale))
    print(f"  p95 from enqueue to start: alone {waits.alone:.1f} ms")
    print(f"  beside 10,000 jobs of seven tenants {waits.beside_many:.1f} ms, of one {waits.beside_one:.1f} ms:")
    print(f"  {waits.beside_one / waits.beside_many:.2f} times as long beside one as beside seven")
    print(f"  {waits.beside_one / waits.alone:.2f} times as long beside one as alone")


async def say_mixed(floor: Floor, scale: float) -> None:
    """Print how soon one estimate a second starts: alone, beside much that nobody waits for, and beside what hangs."""
    busy = {"photo_jpegs": 200, "analytics_delivery": 200, "mail": 20}
    for name, beside, hang in (
        ("alone", {}, False),
        ("beside 420 jobs/s", busy, False),
        ("beside 420/s that hang", busy, True),
    ):
        median, worst, done = await measure_mixed(floor, seconds=round(60 * scale), beside=beside, hang=hang)
        print(f"  {name:<24} p50 {median:.1f} ms, p99 {worst:.1f} ms; {done} done beside", flush=True)


async def say_redis(floor: Floor, scale: float) -> None:
    """Print the share of the speed that is left while Redis is dead."""
    alive, dead = await measure_outage(floor, round(speed.NOTHINGS * scale))
    print(f"  without Redis {dead:8.0f} /s, {dead / alive:.0%} of {alive:.0f} /s")


MEASURES: dict[str, Callable[[Floor, float], Awaitable[None]]] = {
    "speed": say_speed,
    "claims": say_claims,
    "latency": say_latency,
    "bulk": say_bulk,
    "old": say_old,
    "fairness": say_fairness,
    "mixed": say_mixed,
    "redis": say_redis,
}


async def measure(names: list[str], scale: float) -> None:
    """Take the measures, in order, on one floor."""
    async with Floor.standing(visits=round(100_800 * scale)) as floor:
        for name in names:
            print(f"{name}; load {os.getloadavg()[0]:.1f}", flush=True)
            await MEASURES[name](floor, scale)


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help=", ".join(MEASURES))
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of jobs; only 1 counts")
    options = parser.parse_args()
    asyncio.run(measure(options.names or list(MEASURES), options.scale))


if __name__ == "__main__":
    main()
