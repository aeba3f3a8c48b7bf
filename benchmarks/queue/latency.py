"""From the moment somebody asks to the moment the work begins."""

import asyncio
import random
import time

from benchmarks.queue.floor import Floor, quantiles

INSERT = "INSERT INTO ai_jobs (tenant_id, visit_id, job_type) VALUES ($1, $2, 'clock') RETURNING id"
PAUSE_SECONDS = (0.01, 0.03)


async def measure_latency(floor: Floor, *, count: int) -> tuple[float, float]:
    """Return (median, 99th percentile) in ms from before the INSERT to the first line of the work, one at a time."""
    await floor.forget()
    asked = {}
    visits = await floor.admin.fetch("SELECT tenant_id, id FROM site_visits LIMIT $1", count)
    with floor.workers(1, 10):
        await floor.workers_ready(1)
        for visit in visits:
            await asyncio.sleep(random.uniform(*PAUSE_SECONDS))
            began = time.time()
            asked[await floor.admin.fetchval(INSERT, visit["tenant_id"], visit["id"])] = began
        await floor.drain("clock", count)
    rows = await floor.admin.fetch("SELECT id, result FROM ai_jobs WHERE job_type = 'clock'")
    return quantiles([row["result"]["began"] - asked[row["id"]] for row in rows])
