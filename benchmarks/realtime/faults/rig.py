"""Everything the fault checker runs, and what it can do to it. Each fault returns the ms until all were level again."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, ClassVar, Self

import asyncpg

from benchmarks.realtime.faults.keeper import Keeper
from benchmarks.realtime.load import LoadClient
from benchmarks.realtime.site import Connection, Site, fill, gateway_process, heads
from benchmarks.realtime.writers import AWAY, Writers
from realtime.feed.listener import NAME
from tests.product import free_port, wait_until_ready
from tests.support.servers.proxy import Proxy, proxy_to

if TYPE_CHECKING:
    import subprocess

POLL_SECONDS = 0.005
HEAL_SECONDS = 60.0
COMMAND_SECONDS = 5.0


class Rig:
    """A standing product under test; `noticed` holds how many seconds each black hole went unseen.

    Word comes to the gateway by way of a proxy.
    """

    # How often each kind is drawn.
    FAULTS: ClassVar[dict[str, int]] = {
        "terminate_listener": 4,
        "crash_postgres": 2,
        "restart_postgres": 1,
        "kill_gateway": 3,
        "stall": 3,
        "hold": 3,
        "black_hole": 3,
        "cut": 2,
    }
    # Those after which the listener comes back by itself, in 250 ms from its reconnect.
    BY_LISTENER: ClassVar[tuple[str, ...]] = (
        *("terminate_listener", "crash_postgres", "restart_postgres", "black_hole", "cut"),
    )
    # What the gateway's log says when it has noticed that no word comes.
    SILENT: ClassVar[bytes] = b"does not answer"
    SESSION: ClassVar[str] = NAME
    LISTENERS: ClassVar[str] = """
        SELECT pid FROM pg_stat_activity
        WHERE application_name = $1 AND (query ILIKE 'LISTEN %scopekit_control%' OR query ILIKE 'SELECT 1%')
    """

    def __init__(self, site: Site, keeper: Keeper, seed: int) -> None:
        self.site = site
        self.writers = Writers(site, seed)
        self.noticed: list[float] = []
        self.client: LoadClient
        self._keeper = keeper
        self._proxy: Proxy
        self._port = free_port()
        self._gateway = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @asynccontextmanager
    async def standing(cls, directory: Path, *, visits: int, subscribers: int, seed: int) -> AsyncIterator[Self]:
        """Start everything; all of it ends with the block."""
        async with AsyncExitStack() as opened:
            keeper, endpoints = await opened.enter_async_context(Keeper.running(directory / "stack"))
            site = await fill(endpoints, directory, visits=visits, streams=subscribers)
            rig = cls(site, keeper, seed)
            rig._proxy = await rig._open_way(opened)
            opened.callback(rig._gateway.close)
            await rig._start_gateway()
            streams = site.streams(rig._port, [number % visits for number in range(subscribers)])
            client = LoadClient.running(streams, "--from", "0", "--reconnect", "--crc", "--rcvbuf", "16384")
            rig.client = opened.enter_context(client)
            await asyncio.to_thread(rig.client.open_all, deadline_s=HEAL_SECONDS)
            yield rig

    # Faults.

    async def terminate_listener(self, _random: Random) -> float:
        """End the listener's backend as an administrator would."""
        connection = await self.connect()
        try:
            before = await self._listeners(connection)
            await connection.fetch("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", list(before))
        finally:
            connection.terminate()
        return await self._level_by_listener(before)

    async def crash_postgres(self, _random: Random) -> float:
        """Kill one backend with -9: the postmaster throws everybody out and recovers."""
        connection = await self.connect()
        before = await self._listeners(connection)
        os.kill(next(iter(before)) if before else connection.get_server_pid(), signal.SIGKILL)
        connection.terminate()
        return await self._level_by_listener(before)

    async def restart_postgres(self, _random: Random) -> float:
        """Stop and start all servers in good order."""
        connection = await self.connect()
        before = await self._listeners(connection)
        connection.terminate()
        await self._keeper.restart()
        return await self._level_by_listener(before)

    async def kill_gateway(self, random: Random) -> float:
        """Kill the gateway with -9 and start another; counted from when that one listens."""
        assert self._process is not None
        self._process.kill()
        await asyncio.sleep(random.uniform(0, 1.5))
        self._gateway.close()
        await self._start_gateway()
        return await self._level()

    async def stall(self, random: Random) -> float:
        """Let some subscribers read nothing for a while; counted from when they read again."""
        async with self.some_stalled(random):
            await asyncio.sleep(random.uniform(0.5, 5))
        return await self._level()

    async def hold(self, random: Random) -> float:
        """Hold transactions open and end them in another order."""
        await self.writers.hold(random, transactions=random.randint(2, 8), longest_s=random.uniform(0.3, 3))
        return await self._level()

    async def black_hole(self, random: Random) -> float:
        """Let the listener's connection be open and silent, longer than it may take to be noticed."""
        connection = await self.connect()
        before = await self._listeners(connection)
        connection.terminate()
        log = self.site.directory / "gateway.log"
        size = log.stat().st_size
        began = time.monotonic()
        self._proxy.black_hole()
        lasts = random.uniform(3.2, 5)
        while time.monotonic() < began + lasts:
            if log.stat().st_size > size and self.SILENT in log.read_bytes()[size:]:
                self.noticed.append(time.monotonic() - began)
                break
            await asyncio.sleep(0.02)
        else:
            self.noticed.append(float("inf"))
        await asyncio.sleep(max(0, began + lasts - time.monotonic()))
        self._proxy.mend()
        return await self._level_by_way(before)

    async def cut(self, random: Random) -> float:
        """Break the listener's connection and refuse new ones for a while."""
        connection = await self.connect()
        before = await self._listeners(connection)
        connection.terminate()
        self._proxy.cut()
        await asyncio.sleep(random.uniform(0.1, 2.5))
        self._proxy.mend()
        return await self._level_by_way(before)

    @asynccontextmanager
    async def some_stalled(self, random: Random) -> AsyncIterator[None]:
        """Let a third of the subscribers read nothing inside the block."""
        number = max(1, self.client.size // 3)
        first = random.randrange(self.client.size - number + 1)
        self.client.ask(f"stall {first} {number}")
        try:
            yield
        finally:
            self.client.ask(f"drain {first} {number}")

    async def mend_all(self) -> None:
        """Undo whatever a fault may have left."""
        self._proxy.mend()
        self.client.ask(f"drain 0 {self.client.size}")

    # Looking.

    async def all_open(self) -> None:
        """Wait for those who still count down their `retry`: one fault's healing must not count as the next one's."""
        await asyncio.to_thread(self.client.wait_for, "ready", self.client.size, deadline_s=HEAL_SECONDS)

    async def connect(self) -> Connection:
        """Connect as the schema's owner, however long PostgreSQL takes to come back."""
        async with asyncio.timeout(HEAL_SECONDS):
            while True:
                with contextlib.suppress(*AWAY):
                    return await asyncpg.connect(
                        self.site.services.admin_url, timeout=COMMAND_SECONDS, command_timeout=HEAL_SECONDS
                    )
                await asyncio.sleep(POLL_SECONDS)

    async def state(self) -> str:
        """Tell what is known of the gateway and its listener, for whoever has to find out why it did not heal."""
        code = self._process.poll() if self._process else None
        connection = await self.connect()
        rows = await connection.fetch(
            "SELECT pid, application_name, backend_start, state, wait_event, query FROM pg_stat_activity "
            "WHERE usename = 'scopekit_gateway'"
        )
        connection.terminate()
        return (
            f"gateway {'runs' if code is None else f'ended with {code}'}; its backends: {[dict(row) for row in rows]}"
        )

    async def heads(self, connection: Connection) -> list[int]:
        """Return where each visit stands in the table."""
        return await heads(self.site, connection)

    async def _open_way(self, opened: AsyncExitStack) -> Proxy:
        """Return the proxy through which word will come."""
        return await opened.enter_async_context(proxy_to(self.site.services.gateway_url))

    def _way(self) -> dict[str, str]:
        """Return the settings by which it does."""
        return {"DATABASE_LISTEN_URL": self._proxy.url}

    async def _listeners(self, connection: Connection) -> set[int]:
        return {row["pid"] for row in await connection.fetch(self.LISTENERS, self.SESSION)}

    async def _level_by_listener(self, before: set[int]) -> float:
        """Wait for a listener that was not there before, and from then on for the subscribers."""
        async with asyncio.timeout(HEAL_SECONDS):
            while True:
                connection = await self.connect()
                with contextlib.suppress(*AWAY):
                    while not await self._listeners(connection) - before:  # noqa: ASYNC110 - another process's state
                        await asyncio.sleep(POLL_SECONDS)
                    return await self._level(connection)
                connection.terminate()

    async def _level_by_way(self, before: set[int]) -> float:
        """Wait for the same when it was the way of word that was broken, not the server."""
        return await self._level_by_listener(before)

    async def _level(self, known: "Connection | None" = None) -> float:
        """Return the ms until every reading subscriber has what the table holds now."""
        connection = known or await self.connect()
        began = time.monotonic()
        try:
            self.client.mark(await self.heads(connection))
        finally:
            connection.terminate()
        while self.client.ask("behind")["behind"]:
            if time.monotonic() > began + HEAL_SECONDS:
                break  # told as a violation in the end
            await asyncio.sleep(POLL_SECONDS)
        return (time.monotonic() - began) * 1000

    async def _start_gateway(self) -> None:
        self._process = self._gateway.enter_context(gateway_process(self.site, self._port, **self._way()))
        url, log = f"http://127.0.0.1:{self._port}", self.site.directory / "gateway.log"
        await asyncio.to_thread(wait_until_ready, url, self._process, log)
