"""How many jobs a second are done while Redis is dead."""

import signal
import statistics

from benchmarks.queue.floor import Floor
from benchmarks.queue.speed import CONCURRENCY, PROCESSES
from benchmarks.queue_faults.servers import Standing
from devstack.servers.valkey import Valkey
from devstack.state_file import StateFile

ROUNDS = 2


async def measure_outage(floor: Floor, count: int) -> tuple[float, float]:
    """Return no-op jobs a second with Redis and with it killed under the workers, each the mean of turns about."""
    directory = floor.directory / "own-valkey"
    directory.mkdir()
    port = StateFile(directory / "ports.json").ports(("valkey",))["valkey"]
    valkey = Valkey(directory, port, StateFile(directory / "secrets.json"), durable=True)
    with_redis, without = [], []
    async with Standing.running(valkey, directory) as standing:
        for _ in range(ROUNDS):
            with_redis.append(await _rate(floor, count, valkey.url))
            without.append(await _rate(floor, count, valkey.url, dies=standing))
            await standing.start()
    return statistics.mean(with_redis), statistics.mean(without)


async def _rate(floor: Floor, count: int, redis_url: str, *, dies: Standing[Valkey] | None = None) -> float:
    await floor.forget()
    with floor.workers(PROCESSES, CONCURRENCY, REDIS_URL=redis_url):
        await floor.workers_ready(PROCESSES)
        if dies is not None:
            dies.end(signal.SIGKILL)
        await floor.enqueue("nothing", count)
        await floor.drain("nothing", count)
    return await floor.rate("nothing")
