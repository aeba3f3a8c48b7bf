"""How soon an estimate starts beside what nobody waits for: JPEGs, deliveries and mails, that work or that hang."""

import asyncio
import time
from collections.abc import Mapping

from benchmarks.queue.floor import Connection, Floor, quantiles

ESTIMATE = "INSERT INTO ai_jobs (tenant_id, visit_id, job_type) VALUES ($1, $2, 'clock') RETURNING id"
BESIDE = """
INSERT INTO jobs (job_type, tenant_id, visit_id)
SELECT kind, v.tenant_id, CASE kind WHEN 'photo_jpegs' THEN v.id END
FROM unnest($1::text[]) AS k(kind), (SELECT tenant_id, id FROM site_visits LIMIT $2) AS v
"""
# Batches a second: a photo's job is queued as it is stored, and not all of a second's at once.
BATCHES = 10
SLOTS = 10


async def measure_mixed(
    floor: Floor, *, seconds: int, beside: Mapping[str, int], hang: bool
) -> tuple[float, float, int]:
    """Return (median, 99th percentile) in ms from INSERT to start of one estimate a second, and the jobs done beside.

    `beside` is how many jobs a second of each kind are queued meanwhile; with `hang` each takes a minute.
    """
    await floor.forget()
    visits = await floor.admin.fetch("SELECT tenant_id, id FROM site_visits LIMIT $1", seconds)
    asked = {}
    with floor.workers(2, SLOTS, BENCHMARK_HANGS="yes" if hang else ""):
        await floor.workers_ready(2)
        crowd = asyncio.create_task(_crowd(floor, beside))
        try:
            for visit in visits:
                await asyncio.sleep(1.0)
                began = time.time()
                asked[await floor.admin.fetchval(ESTIMATE, visit["tenant_id"], visit["id"])] = began
            await floor.drain("clock", seconds)
        finally:
            crowd.cancel()
            await asyncio.wait({crowd})
    rows = await floor.admin.fetch("SELECT id, result FROM ai_jobs WHERE job_type = 'clock'")
    done = "SELECT count(*) FROM jobs WHERE status = 'completed' AND job_type = ANY ($1)"
    median, worst = quantiles([row["result"]["began"] - asked[row["id"]] for row in rows])
    return median, worst, await floor.admin.fetchval(done, [*beside])


async def _crowd(floor: Floor, beside: Mapping[str, int]) -> None:
    connection = await floor.connect()
    try:
        while beside:
            due = asyncio.get_running_loop().time() + 1 / BATCHES
            for kind, per_second in beside.items():
                await _queue(connection, kind, per_second // BATCHES)
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
    finally:
        await connection.close()


async def _queue(connection: Connection, kind: str, count: int) -> None:
    await connection.execute(BESIDE, [kind], count)
