"""A database with tenants and visits, a gateway over it, and who may watch what."""

import asyncio
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid5

import asyncpg

from benchmarks.realtime.load import Wanted
from benchmarks.realtime.machine import allow_files, move_to_server_core
from devstack.stack import Endpoints, Stack
from store.objects.objects import ObjectStore
from store.pool import use_json
from tests.product import ROOT, free_port, process, wait_until_ready
from tests.stack import Services, make_services, make_template
from tests.tenants import Tenant, make_tenant

# Below the relay's own caps: 32 streams a user, 5,000 a tenant.
STREAMS_A_USER = 30
STREAMS_A_TENANT = 4_800

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True)
class Site:
    """Visit number i belongs to tenant number i modulo the tenants."""

    services: Services
    tenants: Sequence[Tenant]
    visits: Sequence[UUID]
    directory: Path

    def tenant_of(self, visit: int) -> Tenant:
        """Return whose visit this is."""
        return self.tenants[visit % len(self.tenants)]

    def streams(self, port: int, visits: Sequence[int]) -> list[Wanted]:
        """Return a stream for each of these visit numbers, its token shared by no more than a user may have."""
        numbers = [itertools.count() for _ in self.tenants]
        headers: dict[tuple[int, int], str] = {}
        wanted = []
        for visit in visits:
            tenant = visit % len(self.tenants)
            user = next(numbers[tenant]) // STREAMS_A_USER
            header = headers.get((tenant, user))
            if header is None:
                token = self.tenants[tenant].token(sub=str(member(self.tenants[tenant].id, user)), seconds=7200)
                header = headers[tenant, user] = f"Authorization: Bearer {token}"
            wanted.append(Wanted(port, f"/v1/visits/{self.visits[visit]}/progress", header, visit))
        return wanted


def member(tenant_id: UUID, number: int) -> UUID:
    """Return the user with this number, whom `fill` has made a member."""
    return uuid5(tenant_id, str(number))


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, and the process whose CPU and memory count."""

    name: str
    port: int
    pid: int


@contextmanager
def open_site(*, visits: int, streams: int, durable: bool = False) -> Iterator[Site]:
    """Start a stack of its own in a temporary directory and fill it."""
    allow_files()
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="scopekit-bench-")))
        endpoints = opened.enter_context(Stack(directory / "stack", durable=durable))
        yield asyncio.run(fill(endpoints, directory, visits=visits, streams=streams))


async def fill(endpoints: Endpoints, directory: Path, *, visits: int, streams: int) -> Site:
    """Make a database with enough tenants for so many streams, and its visits."""
    await make_template(endpoints)
    services = await make_services(endpoints, "bench")
    async with ObjectStore.open(services.settings()) as objects:
        await objects.ensure_bucket()
    connection = await asyncpg.connect(services.admin_url)
    try:
        await use_json(connection)
        tenants = [await make_tenant(connection) for _ in range(-(-streams // STREAMS_A_TENANT))]
        await connection.executemany(
            "INSERT INTO memberships (tenant_id, user_id) VALUES ($1, $2)",
            [
                (tenant.id, member(tenant.id, number))
                for tenant in tenants
                for number in range(STREAMS_A_TENANT // STREAMS_A_USER)
            ],
        )
        rows = await connection.fetch(
            "INSERT INTO site_visits (tenant_id) SELECT ($1::uuid[])[1 + i % $2] FROM generate_series(0, $3 - 1) i "
            "RETURNING id, tenant_id",
            [tenant.id for tenant in tenants],
            len(tenants),
            visits,
        )
    finally:
        await connection.close()
    assert all(row["tenant_id"] == tenants[i % len(tenants)].id for i, row in enumerate(rows))
    return Site(services, tenants, [row["id"] for row in rows], directory)


async def heads(site: Site, connection: Connection) -> list[int]:
    """Return where each visit stands in the table."""
    rows = await connection.fetch("SELECT visit_id, last_seq FROM visit_streams")
    found = {row["visit_id"]: row["last_seq"] for row in rows}
    return [found.get(visit_id, 0) for visit_id in site.visits]


@contextmanager
def gateway(site: Site, checkout: Path = ROOT, /, *, pinned: bool = True, **environment: str) -> Iterator[Server]:
    """Run the gateway of this checkout as production does, on the server's core."""
    port = free_port()
    with ExitStack() as running:
        started = running.enter_context(gateway_process(site, port, checkout, **environment))
        if pinned:
            move_to_server_core(started.pid)
        wait_until_ready(f"http://127.0.0.1:{port}", started, site.directory / "gateway.log")
        yield Server("gateway", port, started.pid)


def gateway_process(site: Site, port: int, checkout: Path = ROOT, /, **environment: str) -> Any:
    """Return a context that runs the gateway on this port."""
    own = {"PORT": str(port), "LOG_LEVEL": "warning", "DRAIN_SECONDS": "1"}
    variables = site.services.environment(**own | environment)
    return process("gateway", ["gateway", "serve"], variables, site.directory, checkout=checkout)
