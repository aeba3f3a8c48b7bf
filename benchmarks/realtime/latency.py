"""From an INSERT to its subscribers, and what telling costs writers: `python -m benchmarks.realtime.latency`.

The time is taken by the database inside the INSERT and by the client when the bytes are read, on one machine's clock:
it holds the rest of the statement, the commit with its fsync, NOTIFY, the gateway and the client's own wake-up.
Targets: p50 5 ms and p99 25 ms; with the NOTIFY 32 writers keep 90 % of the throughput they have without it.
"""

import argparse
import asyncio
import statistics
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

import asyncpg

from benchmarks.realtime import tax
from benchmarks.realtime.fanout import INSERT
from benchmarks.realtime.load import LoadClient
from benchmarks.realtime.machine import load, stay_on_client_core
from benchmarks.realtime.site import Connection, Site, gateway, open_site

WRITERS = 8
OPEN_SECONDS = 120.0
REST_SECONDS = 2.0
TARGETS_MS = {"p50": 5.0, "p99": 25.0}


@dataclass(frozen=True)
class Setting:
    """How many visits, watched by how many each, and how many events a second over all of them."""

    visits: int
    watchers: tuple[int, int]
    rate: float

    def streams(self) -> list[int]:
        """Return the visit number of each stream."""
        random = Random(1)
        return [visit for visit in range(self.visits) for _ in range(random.randint(*self.watchers))]


SETTINGS = (Setting(500, (2, 2), 100), Setting(2_000, (1, 5), 1_000))


class Publisher:
    """Inserts events at an even pace from several connections, each in a transaction of its own."""

    def __init__(self, site: Site, visits: int) -> None:
        self._site = site
        self._visits = visits
        self.commits_ms: list[float] = []

    async def run(self, rate: float, seconds: float) -> float:
        """Publish; returns the rate that was reached, per second."""
        async with AsyncExitStack() as opened:
            connections = [await self._connect(opened) for _ in range(WRITERS)]
            began = time.monotonic()
            await asyncio.gather(
                *(self._write(connection, n, rate, seconds, began) for n, connection in enumerate(connections))
            )
            return len(self.commits_ms) / (time.monotonic() - began)

    async def _connect(self, opened: AsyncExitStack) -> Connection:
        connection = await asyncpg.connect(self._site.services.admin_url)
        opened.push_async_callback(connection.close)
        return connection

    async def _write(self, connection: Connection, first: int, rate: float, seconds: float, began: float) -> None:
        random = Random(first)
        for number in range(first, round(rate * seconds), WRITERS):
            wait = began + number / rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            elif time.monotonic() > began + 2 * seconds:
                return  # hopelessly behind; the rate reached says so
            visit = random.randrange(self._visits)
            sent = time.perf_counter()
            await connection.fetchval(INSERT, self._site.visits[visit], self._site.tenant_of(visit).id, number % 100)
            self.commits_ms.append((time.perf_counter() - sent) * 1000)


def measure(site: Site, setting: Setting, seconds: float, bus: str) -> None:
    """Open the streams, publish, and print a line."""
    with gateway(site, EVENT_BUS=bus) as server:
        streams = site.streams(server.port, setting.streams())
        with LoadClient.running(streams) as client:
            client.open_all(deadline_s=OPEN_SECONDS)
            asyncio.run(Publisher(site, setting.visits).run(setting.rate, 1))  # warm
            time.sleep(REST_SECONDS)
            client.ask("reset")
            publisher = Publisher(site, setting.visits)
            reached = asyncio.run(publisher.run(setting.rate, seconds))
            time.sleep(REST_SECONDS)
            stats = client.ask("stats")
    commits = statistics.quantiles(publisher.commits_ms, n=100)
    verdict = ", ".join(
        f"{name} {stats[name]:.2f} ms ({'met' if stats[name] <= target else 'MISSED'})"
        for name, target in TARGETS_MS.items()
    )
    print(
        f"{len(streams):,} streams over {setting.visits:,} visits, {reached:,.0f} of {setting.rate:,.0f} events/s: "
        f"{verdict}, p95 {stats['p95']:.2f}, max {stats['max']:.2f}; {stats['deliveries']:,} deliveries, "
        f"{stats['lost'] + stats['doubled'] + stats['reordered']} wrong; the INSERT's own round trip "
        f"p50 {commits[49]:.2f} ms, p99 {commits[98]:.2f}",
        flush=True,
    )


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=30, help="of events, for each setting; 0 leaves them out")
    parser.add_argument("--rounds", type=int, default=3, help="of the writers' tax; 0 leaves it out")
    parser.add_argument("--bus", choices=("notify", "redis"), default="notify", help="how events reach the gateway")
    parser.add_argument("--fast-disk", action="store_true", help="without fsync, as in the tests")
    options = parser.parse_args()
    print(f"before: {load()}", flush=True)
    visits, streams = max(s.visits for s in SETTINGS), max(len(s.streams()) for s in SETTINGS)
    with open_site(visits=visits, streams=streams, durable=not options.fast_disk) as site:
        if options.rounds:
            tax.run(site, rounds=options.rounds)
        stay_on_client_core()
        for setting in SETTINGS if options.seconds else ():
            measure(site, setting, options.seconds, options.bus)
    print(f"after: {load()}")


if __name__ == "__main__":
    main()
