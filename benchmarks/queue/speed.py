"""How many jobs a second, of no length and of a tenth of a second."""

from benchmarks.queue.floor import Floor
from benchmarks.queue.work import STEADY_SECONDS

PROCESSES = 2
NOTHINGS = 30_000
STEADIES = 3_000
STEADY_CONCURRENCY = 50


async def measure_nothing(floor: Floor, *, processes: int = PROCESSES, concurrency: int = 100) -> float:
    """Return no-op jobs a second: claimed, told, completed under their fence, told again, all durable."""
    await floor.forget()
    with floor.workers(processes, concurrency):
        await floor.workers_ready(processes)
        await floor.enqueue("nothing", NOTHINGS)
        await floor.drain("nothing", NOTHINGS)
    return await floor.rate("nothing")


async def measure_steady(floor: Floor, *, processes: int = 1) -> float:
    """Return the share of the ideal rate, which is that every slot works all the time."""
    await floor.forget()
    with floor.workers(processes, STEADY_CONCURRENCY // processes):
        await floor.workers_ready(processes)
        await floor.enqueue("steady", STEADIES)
        await floor.drain("steady", STEADIES)
    return await floor.rate("steady") * STEADY_SECONDS / STEADY_CONCURRENCY
