"""Thousands of pages that stay open: most listen, some go and come back, some read nothing, some half-close."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Self

import asyncpg

from benchmarks.realtime.faults.verdict import verdict_of
from benchmarks.realtime.load import LoadClient
from benchmarks.realtime.site import heads
from benchmarks.realtime.writers import Writers
from benchmarks.soak.house import House

if TYPE_CHECKING:
    from benchmarks.realtime.site import Connection, Site

OPEN_SECONDS = 120.0
SETTLE_SECONDS = 60.0
TURN_SECONDS = 1.0
POLL_SECONDS = 0.05
# Of a thousand streams, in each turn.
LEAVING, HALVED, STALLED = 5, 2, 2
# Some long enough to be cut off: from one heartbeat to the next but one.
STALL_SECONDS = (2.0, 90.0)
UNWANTED = ("unreachable", "named_end", "named_drain")
# A small window, so that a stalled reader is behind within its time.
OPTIONS = ("--from", "0", "--reconnect", "--crc", "--rcvbuf", "16384")


class Crowd:
    """The streams of one part of the soak; `writers` write what they hear."""

    def __init__(self, site: "Site", client: LoadClient, writers: Writers, random: Random) -> None:
        self.site = site
        self.client = client
        self.writers = writers
        self._random = random
        self._asked: Counter[str] = Counter()
        self._until: dict[int, float] = {}

    @classmethod
    @asynccontextmanager
    async def standing(cls, house: House, streams: int, writers: Writers, random: Random) -> AsyncIterator[Self]:
        """Open all streams, spread over the gateways."""
        visits = [number % len(house.site.visits) for number in range(streams)]
        wanted = [
            replace(one, port=house.ports[number % len(house.ports)])
            for number, one in enumerate(house.site.streams(house.ports[0], visits))
        ]
        with LoadClient.running(wanted, *OPTIONS) as client:
            await asyncio.to_thread(client.open_all, deadline_s=OPEN_SECONDS)
            crowd = cls(house.site, client, writers, random)
            await crowd.level()
            client.ask("reset")  # what was there before them has not taken long
            yield crowd

    async def churn(self) -> None:
        """Let some leave, half-close or stall in every turn, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TURN_SECONDS)
            for order, share in (("leave", LEAVING), ("half", HALVED), ("stall", STALLED)):
                for number in self._some(share):
                    self._do(order, number, loop.time())
            for number in [number for number, until in self._until.items() if until <= loop.time()]:
                del self._until[number]
                self.client.ask(f"drain {number} 1")

    async def level(self) -> None:
        """Wait until all have been given what the table holds now."""
        connection = await self.connect()
        try:
            self.client.mark(await heads(self.site, connection))
        finally:
            await connection.close()
        async with asyncio.timeout(OPEN_SECONDS):
            while self.client.ask("behind")["behind"]:  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(POLL_SECONDS)

    async def faults(self) -> list[str]:
        """Tell what is wrong with what the streams were given, when all are level with the table."""
        found = (await verdict_of(self, settle_s=SETTLE_SECONDS)).wrong
        stats = self.client.ask("stats")
        found += [f"{stats[name]} streams: {name}" for name in UNWANTED if stats[name]]
        return found + [f"{count} streams were answered {status}" for status, count in stats["refused"].items()]

    def breaks(self, drops: int) -> list[str]:
        """Tell of streams that broke, beyond those half-closed and the `drops` that gateways say they have cut off."""
        broken, explained = self.client.ask("stats")["resets"], self._asked["half"] + drops
        return [f"{broken} streams broke, of which {explained} for a reason"] if broken > explained else []

    def told(self) -> str:
        """Say in a line what became of them."""
        stats, asked = self.client.ask("stats"), self._asked
        return (
            f"{stats['deliveries']:,} events to {self.client.size:,} streams, from the INSERT p50 {stats['p50']:.1f} "
            f"and p99 {stats['p99']:.1f} ms; {stats['reconnects']:,} reconnects "
            f"({asked['leave']:,} left, {asked['half']:,} half-closed, {asked['stall']:,} stalled)"
        )

    async def mend_all(self) -> None:
        """Let everybody read again."""
        self._until.clear()
        self.client.ask(f"drain 0 {self.client.size}")

    async def connect(self) -> "Connection":
        """Connect as the schema's owner."""
        return await asyncpg.connect(self.site.services.admin_url)

    def _some(self, of_thousand: int) -> Sequence[int]:
        return self._random.sample(range(self.client.size), -(-self.client.size * of_thousand // 1000))

    def _do(self, order: str, number: int, now: float) -> None:
        if number in self._until:
            return
        parted = self.client.ask(f"{order} {number} 1").get("parted", 1)
        self._asked[order] += parted
        if order == "stall":
            self._until[number] = now + self._random.uniform(*STALL_SECONDS)
