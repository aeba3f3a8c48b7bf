"""What one tenant's ten thousand jobs cost another, whose jobs come one by one."""

import asyncio
import random
import time
from typing import NamedTuple

from benchmarks.queue.floor import Floor, quantile
from benchmarks.queue.speed import STEADY_CONCURRENCY

CROWD = 10_000
TRICKLE = 300
PAUSE_SECONDS = (0.01, 0.03)
INSERT = """
INSERT INTO ai_jobs (tenant_id, visit_id, job_type)
SELECT tenant_id, id, 'clock' FROM site_visits WHERE tenant_id = $1 ORDER BY id OFFSET $2 LIMIT 1 RETURNING id
"""


class Waits(NamedTuple):
    """95th percentiles in ms, from before the INSERT to the first line of the work."""

    alone: float
    beside_many: float  # the same crowd, of all other tenants together
    beside_one: float


async def measure_fairness(floor: Floor, *, crowd: int = CROWD, count: int = TRICKLE) -> Waits:
    """Let jobs of the first tenant trickle in: with nobody else there, beside seven tenants, and beside one."""
    others = floor.tenants[1:]
    await floor.forget()
    alone = await _trickle(floor, count)
    await floor.forget()
    await floor.enqueue("steady", crowd, others)
    beside_many = await _trickle(floor, count)
    await floor.forget()
    await floor.enqueue("steady", crowd, others[:1])
    return Waits(alone, beside_many, await _trickle(floor, count))


async def _trickle(floor: Floor, count: int) -> float:
    asked = {}
    with floor.workers(1, STEADY_CONCURRENCY):
        await floor.workers_ready(1)
        for number in range(count):
            await asyncio.sleep(random.uniform(*PAUSE_SECONDS))
            began = time.time()
            asked[await floor.admin.fetchval(INSERT, floor.tenants[0].id, number)] = began
        await floor.drain("clock", count)
    rows = await floor.admin.fetch("SELECT id, result FROM ai_jobs WHERE job_type = 'clock'")
    return quantile([row["result"]["began"] - asked[row["id"]] for row in rows], 0.95)
