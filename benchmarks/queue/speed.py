"""How many jobs a second, of no length and of a tenth of a second."""

from benchmarks.queue.floor import Floor
from benchmarks.queue.work import STEADY_SECONDS

PROCESSES = 2
CONCURRENCY = 100
NOTHINGS = 30_000
# 18 s: of six, what a worker that has just started does not know yet is a hundredth.
STEADIES = 9_000
STEADY_CONCURRENCY = 50


async def measure_nothing(floor: Floor, count: int, *, processes: int = PROCESSES, forget: bool = True) -> float:
    """Return no-op jobs a second: claimed, told, completed under their fence, told again, all durable.

    Without `forget` what the last measure left stays, as an old transaction would keep it.
    """
    if forget:
        await floor.forget()
    else:
        await floor.admin.execute("DELETE FROM ai_jobs")
    with floor.workers(processes, CONCURRENCY):
        await floor.workers_ready(processes)
        await floor.enqueue("nothing", count)
        await floor.drain("nothing", count)
    return await floor.rate("nothing")


async def measure_steady(floor: Floor, count: int, *, processes: int = 1) -> float:
    """Return the share of the ideal rate, which is that every slot works all the time."""
    await floor.forget()
    with floor.workers(processes, STEADY_CONCURRENCY // processes):
        await floor.workers_ready(processes)
        await floor.enqueue("steady", count)
        await floor.drain("steady", count)
    return await floor.rate("steady") * STEADY_SECONDS / STEADY_CONCURRENCY
