"""The product as it runs in production: gateways and workers, each a process of its own, over real servers."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks.realtime.site import Site, gateway_process, open_site
from benchmarks.soak.samples.sample import Key
from jobs.wakeup.notifier import MAX_RINGING
from jobs.worker.worker import CONNECTIONS_PER_JOB, SPARE_CONNECTIONS
from store.pool import use_json
from tests.product import free_port, process, wait_until_ready
from tests.tenants import Tenant, make_operator, make_tenant

CONCURRENCY = 2
POOL = 10
POOL_THREADS = min(32, (os.cpu_count() or 1) + 4)
# With the connection that listens.
DATABASE = {"gateway": POOL + 1, "worker": CONCURRENCY * CONNECTIONS_PER_JOB + SPARE_CONNECTIONS + 1}
# A worker also hears bells: arq begins ten at once, and polls.
BELLS = {"gateway": MAX_RINGING, "worker": MAX_RINGING + 12}
# asyncio's own pool, which fills as it is used, and the decoder's two.
THREADS = {"gateway": 1 + POOL_THREADS + 2, "worker": 1 + POOL_THREADS}
# arq remembers each tick of a cron for two minutes, four sweeps and some, and has a few keys of its own.
KEYS = 10


@dataclass(frozen=True)
class House:
    """`site` is whose visits the crowd watches; `people` are the tenants of everybody else."""

    site: Site
    people: Sequence[Tenant]
    operator: Tenant
    ports: Sequence[int]
    processes: Mapping[str, int]
    scratch: Path

    @property
    def urls(self) -> list[str]:
        """Where the gateways are."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    @property
    def bounds(self) -> dict[Key, int]:
        """What processes may keep at rest because a pool keeps it, whether or not the warm-up has filled it."""
        bounds: Counter[Key] = Counter({("valkey", "keys"): KEYS, ("valkey", "clients"): 1})
        for who in self.processes:
            kind = who.split()[0]
            bounds[who, "sockets to postgres"] = DATABASE[kind]
            bounds["postgres", f"backends of scopekit_{kind}"] += DATABASE[kind]
            bounds[who, "sockets to valkey"] = BELLS[kind]
            bounds[who, "threads"] = THREADS[kind]
            bounds["valkey", "clients"] += BELLS[kind]
        return bounds


@contextmanager
def standing(*, visits: int, streams: int, gateways: int, workers: int, tenants: int) -> Iterator[House]:
    """Start everything; all of it ends with the block."""
    with ExitStack() as opened:
        site = opened.enter_context(open_site(visits=visits, streams=streams, durable=True))
        scratch = site.directory / "scratch"
        scratch.mkdir()
        own = {"TMPDIR": str(scratch), "METRICS_DIR": str(site.directory / "metrics"), "DERIVATIVES_AHEAD": "true"}
        processes, ports = {}, []
        for number in range(1, gateways + 1):
            ports.append(free_port())
            started = opened.enter_context(gateway_process(site, ports[-1], **own, DATABASE_POOL_SIZE=str(POOL)))
            wait_until_ready(f"http://127.0.0.1:{ports[-1]}", started, site.directory / "gateway.log")
            processes[f"gateway {number}"] = started.pid
        variables = site.services.environment(
            **own, FUNCTION_NAME="worker", LOG_LEVEL="warning", WORKER_CONCURRENCY=str(CONCURRENCY)
        )
        for number in range(1, workers + 1):
            started = opened.enter_context(process("worker", ["jobs.worker"], variables, site.directory))
            processes[f"worker {number}"] = started.pid
        people, operator = asyncio.run(_people(site, tenants))
        yield House(site, people, operator, ports, processes, scratch)


async def _people(site: Site, tenants: int) -> tuple[list[Tenant], Tenant]:
    connection = await asyncpg.connect(site.services.admin_url)
    try:
        await use_json(connection)
        people = [await make_tenant(connection) for _ in range(tenants)]
        return people, await make_operator(connection, people[0])
    finally:
        await connection.close()
