"""How long a claim takes with a million finished and a hundred thousand queued jobs."""

import time
from datetime import timedelta

from benchmarks.queue.floor import Floor, quantiles
from store import jobs
from store.jobs import Done, Lease
from store.pool import Database

LEASE = timedelta(minutes=1)

FINISHED = """
INSERT INTO ai_jobs (tenant_id, visit_id, job_type, status, result, started_at, finished_at, attempts)
SELECT v.tenant_id, v.id, 'old', 'completed', '{}', now() - interval '1 day', now() - interval '1 day', 1
FROM generate_series(1, $1::int / $2::int), (SELECT tenant_id, id FROM site_visits LIMIT $2) AS v
"""


async def measure_claims(floor: Floor, *, finished: int, queued: int, claims: int) -> dict[str, tuple[float, float]]:
    """Return (median, 99th percentile) in ms of claims of one job and of ten, each completed in between."""
    await floor.forget()
    await floor.admin.execute(FINISHED, finished, min(finished, queued))
    await floor.enqueue("nothing", queued)
    await floor.admin.execute("VACUUM ANALYZE ai_jobs")
    db = await Database.open(floor.services.worker_url, name="claims", role="service_role")
    try:
        return {f"claim of {limit}": await _claims(db, limit, claims) for limit in (1, 10)}
    finally:
        await db.close()


async def _claims(db: Database, limit: int, claims: int) -> tuple[float, float]:
    taken = []
    async with db.connection() as conn:
        for _ in range(claims):
            began = time.perf_counter()
            rows = await jobs.claim(conn, limit, "claims", LEASE, everywhere=False)
            taken.append(time.perf_counter() - began)
            await jobs.complete_many(conn, [Done(Lease(row["id"], row["lease_token"]), {}, None) for row in rows])
    return quantiles(taken)


def measure_machine(times: int) -> tuple[float, float]:
    """Return (median, 99th percentile) in ms of half a millisecond's counting: what others on this machine add."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        sum(range(35_000))
        taken.append(time.perf_counter() - began)
    return quantiles(taken)
