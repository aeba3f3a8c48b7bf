"""Everything the queue's fault checker runs: PostgreSQL, Valkey, the workers, and ways to all of them."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks.queue_faults.gate import Gate
from benchmarks.queue_faults.servers import Standing
from benchmarks.queue_faults.staff import Member, Staff
from benchmarks.queue_faults.worker import TIMING
from config.settings import Settings
from devstack.servers.postgres import Postgres
from devstack.servers.valkey import Valkey
from devstack.stack import Endpoints
from devstack.state_file import StateFile
from jobs.queue.intervals import Intervals
from jobs.queue.queue import JobQueue
from store.pool import Database, use_json
from tests.stack import Services, make_services, make_template
from tests.support.servers.proxy import Proxy, proxy_to
from tests.tenants import Tenant, make_tenant

WORKERS = 2
CONCURRENCY = 3
# The work of the harness stores no object.
NO_S3 = "http://127.0.0.1:9"


@dataclass
class Rig:
    """A standing queue: servers that can be broken, workers, and the gateway's side of it."""

    postgres: Standing[Postgres]
    valkey: Standing[Valkey]
    redis: Proxy  # the workers' and the gateway's way to Valkey
    staff: Staff
    services: Services
    gateway: Database
    system: Database
    queue: JobQueue
    tenant: Tenant
    torn: bool = False  # PostgreSQL crashed, and maybe no event was written since

    @classmethod
    @contextlib.asynccontextmanager
    async def standing(
        cls, directory: Path, intervals: Intervals = TIMING, concurrency: int = CONCURRENCY
    ) -> AsyncIterator["Rig"]:
        """Start everything; all of it ends with the block."""
        async with AsyncExitStack() as opened:
            (directory / "logs").mkdir()
            ports = StateFile(directory / "ports.json").ports(("postgres", "valkey"))
            keys = StateFile(directory / "secrets.json")
            postgres = Postgres(directory, ports["postgres"], keys, durable=True)
            valkey = Valkey(directory, ports["valkey"], keys, durable=True)
            servers = (
                await opened.enter_async_context(Standing.running(postgres, directory / "logs")),
                await opened.enter_async_context(Standing.running(valkey, directory / "logs")),
            )
            services = await _database(postgres, valkey)
            redis = await opened.enter_async_context(proxy_to(services.redis_url))
            settings = _settings(services, redis, concurrency)
            members = []
            for number in range(WORKERS):
                gate = await opened.enter_async_context(Gate.open(services.worker_url, number))
                own = settings.model_copy(update={"database_worker_url": gate.url})
                members.append(Member(own, gate, str(directory / "logs" / f"worker{number}.log"), intervals))
            gateway = await _pool(opened, services.gateway_url)
            system = await _pool(opened, services.worker_url, role="service_role")
            queue = await opened.enter_async_context(JobQueue.open(settings))
            tenant = await _tenant(services)
            # Last: the first fork imports everything, and nothing else goes on meanwhile.
            staff = await opened.enter_async_context(Staff.working(members))
            yield cls(*servers, redis, staff, services, gateway, system, queue, tenant)

    @contextlib.asynccontextmanager
    async def eyes(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """Connect as the schema's owner."""
        connection = await asyncpg.connect(self.services.admin_url)
        try:
            await use_json(connection)
            yield connection
        finally:
            connection.terminate()

    @contextlib.asynccontextmanager
    async def capped(self, most: int) -> AsyncIterator[None]:
        """Let no more jobs of the tenant run at once, as long as the block lasts."""
        await self._cap(most)
        try:
            yield
        finally:
            await self._cap(None)

    async def _cap(self, most: int | None) -> None:
        async with self.eyes() as conn:
            await conn.execute(
                "UPDATE tenant_settings SET max_running_jobs = $2 WHERE tenant_id = $1", self.tenant.id, most
            )


async def _database(postgres: Postgres, valkey: Valkey) -> Services:
    endpoints = Endpoints(
        postgres.admin_url, postgres.gateway_url, postgres.worker_url, valkey.url, NO_S3, "none", "none", "none"
    )
    await make_template(endpoints)
    return await make_services(endpoints, "main")


def _settings(services: Services, redis: Proxy, concurrency: int) -> Settings:
    return services.settings(redis_url=redis.url, worker_concurrency=concurrency, log_level="info")


async def _pool(opened: AsyncExitStack, url: str, role: str | None = None) -> Database:
    database = await Database.open(url, name="faults", size=8, role=role)
    opened.push_async_callback(database.close)
    return database


async def _tenant(services: Services) -> Tenant:
    connection = await asyncpg.connect(services.admin_url)
    try:
        await use_json(connection)
        return await make_tenant(connection)
    finally:
        await connection.close()
