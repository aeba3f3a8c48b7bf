"""How long a claim takes with a million finished and a hundred thousand queued jobs."""

import time
from collections.abc import Sequence
from datetime import timedelta

from benchmarks.queue.floor import Floor, quantiles
from store.pool import Connection, Database, Record
from store.queue import jobs
from store.queue.jobs import Done, Lease

LEASE = timedelta(minutes=1)

FINISHED = """
INSERT INTO ai_jobs (tenant_id, visit_id, job_type, status, result, started_at, finished_at, attempts)
SELECT v.tenant_id, v.id, 'old', 'completed', '{}', now() - interval '1 day', now() - interval '1 day', 1
FROM generate_series(1, $1::int / $2::int), (SELECT tenant_id, id FROM site_visits LIMIT $2) AS v
"""


EXPLAIN = """
EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) SELECT * FROM public.claim_ai_jobs($1, 'claims', $2, NULL, false, NULL)
"""
RUNNING = "SELECT id, lease_token FROM ai_jobs WHERE status = 'running'"
TRIP = "a SELECT 1 in between"


async def measure_claims(floor: Floor, *, finished: int, queued: int, claims: int) -> dict[str, tuple[float, float]]:
    """Return (median, 99th percentile) in ms of claims of one job and of ten, each completed in between.

    As the worker sees them, with their round trip and their commit, beside a round trip for nothing; and as the server
    does, by EXPLAIN ANALYZE, which has neither.
    """
    await floor.forget()
    await floor.admin.execute(FINISHED, finished, min(finished, queued))
    await floor.enqueue("nothing", queued)
    await floor.admin.execute("VACUUM ANALYZE jobs")
    db = await Database.open(floor.services.worker_url, name="claims", role="service_role")
    trips: list[float] = []
    taken = {}
    try:
        for limit in (1, 10):
            taken[f"claim of {limit}"] = await _claims(db, limit, claims, trips)
            taken[f"claim of {limit}, in the server"] = await _claims_in_server(db, limit, claims)
    finally:
        await db.close()
    return {name: quantiles(seconds) for name, seconds in (taken | {TRIP: trips}).items()}


async def _claims(db: Database, limit: int, claims: int, trips: list[float]) -> list[float]:
    taken = []
    async with db.connection() as conn:
        for _ in range(claims):
            began = time.perf_counter()
            rows = await jobs.claim(conn, limit, "claims", LEASE, everywhere=False)
            claimed = time.perf_counter()
            await conn.fetchval("SELECT 1")
            trips.append(time.perf_counter() - claimed)
            taken.append(claimed - began)
            await _complete(conn, rows)
    return taken


async def _claims_in_server(db: Database, limit: int, claims: int) -> list[float]:
    taken = []
    async with db.connection() as conn:
        for _ in range(claims):
            explained = await conn.fetchval(EXPLAIN, limit, LEASE)
            taken.append(explained[0]["Execution Time"] / 1000)
            await _complete(conn, await conn.fetch(RUNNING))
    return taken


async def _complete(conn: Connection, rows: Sequence[Record]) -> None:
    await jobs.complete_many(conn, [Done(Lease(row["id"], row["lease_token"]), {}, None) for row in rows])


def measure_machine(times: int) -> tuple[float, float]:
    """Return (median, 99th percentile) in ms of half a millisecond's counting: what others on this machine add."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        sum(range(35_000))
        taken.append(time.perf_counter() - began)
    return quantiles(taken)
