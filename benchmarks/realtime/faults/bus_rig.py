"""The same product on the event bus: a Redis of its own, and a second gateway, without streams, that may carry."""

import asyncio
import signal
from contextlib import AsyncExitStack, ExitStack
from random import Random
from typing import TYPE_CHECKING, ClassVar

from redis.asyncio import Redis

from benchmarks.queue_faults.servers import Standing
from benchmarks.realtime.faults.keeper import Keeper
from benchmarks.realtime.faults.rig import Rig
from benchmarks.realtime.site import Site, gateway_process
from devstack.servers.valkey import Valkey
from devstack.state_file import StateFile
from realtime.bus.leader import NAME
from tests.product import free_port, wait_until_ready
from tests.support.servers.proxy import Proxy, proxy_to

if TYPE_CHECKING:
    import subprocess

# The server ends a carrier's silent session after 5 s.
FROZEN_SECONDS = (2.0, 8.0)
AWAY_SECONDS = (0.0, 3.0)


class BusRig(Rig):
    """The gateway with the streams reaches the bus by way of the proxy, the one beside it directly."""

    FAULTS: ClassVar[dict[str, int]] = Rig.FAULTS | {
        "kill_beside": 3,
        "freeze_beside": 2,
        "kill_redis": 3,
        "flush_redis": 3,
        "pause_redis": 2,
    }
    BY_LISTENER: ClassVar[tuple[str, ...]] = ("terminate_listener", "crash_postgres", "restart_postgres")
    SILENT: ClassVar[bytes] = b"The event bus delivers nothing"
    SESSION: ClassVar[str] = NAME
    LISTENERS: ClassVar[str] = "SELECT pid FROM pg_stat_activity WHERE application_name = $1"

    def __init__(self, site: Site, keeper: Keeper, seed: int) -> None:
        super().__init__(site, keeper, seed)
        self._redis: Standing[Valkey]
        self._beside = ExitStack()
        self._beside_port = free_port()
        self._other: subprocess.Popen[bytes] | None = None

    async def kill_beside(self, random: Random) -> float:
        """Kill the gateway beside with -9, which carries if it was there first, and start another after a while."""
        assert self._other is not None
        self._other.kill()
        await asyncio.sleep(random.uniform(*AWAY_SECONDS))
        self._beside.close()
        await self._start_beside()
        return await self._level()

    async def freeze_beside(self, random: Random) -> float:
        """Stop the gateway beside where it stands, and let it go on when it may have been replaced."""
        assert self._other is not None
        self._other.send_signal(signal.SIGSTOP)
        await asyncio.sleep(random.uniform(*FROZEN_SECONDS))
        self._other.send_signal(signal.SIGCONT)
        return await self._level()

    async def kill_redis(self, random: Random) -> float:
        """Kill the bus's server with -9; it comes back empty."""
        self._redis.end(signal.SIGKILL)
        await asyncio.sleep(random.uniform(*AWAY_SECONDS))
        await self._redis.start()
        return await self._level()

    async def flush_redis(self, _random: Random) -> float:
        """Take away whatever is on the bus."""
        async with Redis.from_url(self._redis.server.url) as redis:
            await redis.flushall()
        return await self._level()

    async def pause_redis(self, random: Random) -> float:
        """Let the bus's server answer nobody for a while, its connections open."""
        async with Redis.from_url(self._redis.server.url) as redis:
            milliseconds = round(random.uniform(*AWAY_SECONDS) * 1000)
            await redis.client_pause(milliseconds)
        await asyncio.sleep(milliseconds / 1000)
        return await self._level()

    async def _open_way(self, opened: AsyncExitStack) -> Proxy:
        directory = self.site.directory / "bus"
        directory.mkdir()
        server = Valkey(directory, free_port(), StateFile(directory / "secrets.json"), durable=False)
        self._redis = await opened.enter_async_context(Standing.running(server, directory))
        opened.callback(self._beside.close)
        await self._start_beside()
        return await opened.enter_async_context(proxy_to(server.url))

    def _way(self) -> dict[str, str]:
        return {"EVENT_BUS": "redis", "BUS_URL": self._proxy.url}

    async def _level_by_way(self, _before: set[int]) -> float:
        return await self._level()

    async def _start_beside(self) -> None:
        way = {"EVENT_BUS": "redis", "BUS_URL": self._redis.server.url}
        self._other = self._beside.enter_context(gateway_process(self.site, self._beside_port, **way))
        url, log = f"http://127.0.0.1:{self._beside_port}", self.site.directory / "gateway.log"
        await asyncio.to_thread(wait_until_ready, url, self._other, log)
