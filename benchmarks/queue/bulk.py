"""How many jobs a second are queued by statements that queue thousands."""

import asyncio
import time

import asyncpg

from benchmarks.queue.floor import ENQUEUE, Floor


async def measure_bulk(floor: Floor, count: int, sessions: int, *, photographed: bool) -> float:
    """Return the jobs a second of so many statements at once, each for tenants of its own, to the last one's commit.

    Where visits have no photo's event, each job's event is the first of its visit, and begins its stream.
    """
    await floor.forget(photographed=photographed)
    connections = [await asyncpg.connect(floor.services.admin_url) for _ in range(sessions)]
    try:
        began = time.perf_counter()
        answers = await asyncio.gather(
            *(
                conn.execute(
                    *(ENQUEUE, "nothing", count // sessions),
                    [tenant.id for tenant in floor.tenants[number::sessions]],
                )
                for number, conn in enumerate(connections)
            )
        )
        took = time.perf_counter() - began
    finally:
        for conn in connections:
            conn.terminate()
    assert answers == [f"INSERT 0 {count // sessions}"] * sessions, answers
    return count / took
