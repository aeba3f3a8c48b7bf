"""What every measurement stands on: a durable stack of its own, tenants with visits, and worker processes."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import asyncpg

from benchmarks.queue.work import ARGUMENTS
from devstack.stack import Stack
from store.pool import use_json
from tests.product import process
from tests.stack import Services, make_services, make_template
from tests.tenants import Tenant, make_tenant

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

TENANTS = 8
POLL_SECONDS = 0.05
DEADLINE_SECONDS = 180.0

VISITS = """
INSERT INTO site_visits (tenant_id)
SELECT t.id FROM unnest($1::uuid[]) AS t(id), generate_series(1, $2 / cardinality($1))
"""
ENQUEUE = """
INSERT INTO ai_jobs (tenant_id, visit_id, job_type)
SELECT tenant_id, id, $1 FROM site_visits WHERE tenant_id = ANY ($3) LIMIT $2
"""
PHOTOGRAPH = """
SELECT scopekit.bulk_append_events(
    'media.stored', array_agg(id), array_agg(tenant_id), array_agg(NULL::uuid), array_agg('{}'::jsonb))
FROM site_visits
"""
FORGET = """
TRUNCATE jobs, jobs_dlq, job_steps, processing_events, visit_streams, analytics_events
"""


@dataclass(frozen=True)
class Floor:
    """A stack, a connection as the schema's owner, and tenants."""

    services: Services
    admin: Connection
    tenants: Sequence[Tenant]
    directory: Path

    @classmethod
    @asynccontextmanager
    async def standing(cls, *, visits: int) -> "AsyncIterator[Floor]":
        """Start a stack as production runs it, fsync and all, and fill it."""
        with tempfile.TemporaryDirectory(prefix="scopekit-bench-") as directory, Stack(Path(directory)) as endpoints:
            await make_template(endpoints)
            services = await make_services(endpoints, "bench")
            admin = await asyncpg.connect(services.admin_url)
            try:
                await use_json(admin)
                tenants = [await make_tenant(admin) for _ in range(TENANTS)]
                await admin.execute(VISITS, [tenant.id for tenant in tenants], visits)
                await admin.execute("VACUUM ANALYZE")
                yield cls(services, admin, tenants, Path(directory))
            finally:
                await admin.close()

    async def connect(self) -> Connection:
        """Open another connection as the schema's owner."""
        return await asyncpg.connect(self.services.admin_url)

    @contextmanager
    def workers(self, count: int, concurrency: int, **environment: str) -> Iterator[None]:
        """Run so many worker processes inside the block."""
        variables = self.services.environment(
            WORKER_CONCURRENCY=str(concurrency), FUNCTION_NAME="worker", **environment
        )
        with ExitStack() as running:
            for number in range(count):
                running.enter_context(process(f"worker-{number}", ARGUMENTS, variables, self.directory))
            yield

    async def workers_ready(self, count: int) -> None:
        """Wait until so many workers listen."""
        await self.until("SELECT count(*) >= $1 FROM pg_stat_activity WHERE application_name = 'worker-control'", count)

    async def enqueue(self, job_type: str, count: int, tenants: Sequence[Tenant] | None = None) -> float:
        """Queue jobs in one statement; returns the seconds it took to its commit."""
        began = time.perf_counter()
        ids = [tenant.id for tenant in tenants or self.tenants]
        done = await self.admin.execute(ENQUEUE, job_type, count, ids)
        assert done == f"INSERT 0 {count}", done
        return time.perf_counter() - began

    async def drain(self, job_type: str, count: int) -> None:
        """Wait until so many have completed."""
        await self.until(
            "SELECT count(*) >= $1 FROM ai_jobs WHERE status = 'completed' AND job_type = $2", count, job_type
        )

    async def until(self, condition: str, *values: object) -> None:
        """Ask until the condition holds: what other processes do sends no signal."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await self.admin.fetchval(condition, *values):  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(POLL_SECONDS)

    async def rate(self, job_type: str) -> float:
        """Return the jobs completed a second, from the first one's start to the last one's end, by their rows."""
        return float(
            await self.admin.fetchval(
                "SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at)) FROM ai_jobs "
                "WHERE job_type = $1 AND status = 'completed'",
                job_type,
            )
        )

    async def forget(self, *, photographed: bool = False) -> None:
        """Empty the queue and its tables, but for an event of a photo of each visit where that is asked for.

        What was measured before is written out, and not while the next is measured.
        """
        await self.admin.execute(FORGET)
        if photographed:
            await self.admin.execute(PHOTOGRAPH)
        await self.admin.execute("VACUUM ANALYZE jobs, processing_events, visit_streams")
        await self.admin.execute("CHECKPOINT")


def quantile(seconds: Sequence[float], share: float) -> float:
    """Return what so large a share of the times does not exceed, in milliseconds."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


def quantiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile, in milliseconds."""
    return quantile(seconds, 0.5), quantile(seconds, 0.99)
