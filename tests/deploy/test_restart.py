"""A rolling restart with real processes: nothing is refused, no event is lost, and no attempt is charged."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import httpx
import pytest

from devstack.stack import Endpoints
from tests.deploy.own import Admin, own_services
from tests.product import ROOT, end, free_port, process, wait_until_ready
from tests.realtime.feed.watcher import watch
from tests.stack import Services
from tests.tenants import Tenant

if TYPE_CHECKING:
    from uuid import UUID

# As systemd does: descriptor 3 is the socket, LISTEN_PID the process it is for.
_AS_SYSTEMD = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True); os.environ['LISTEN_PID'] = "
    "str(os.getpid()); os.execv(sys.executable, [sys.executable, '-m', 'gateway', 'serve'])"
)
SECONDS = 100.0


@pytest.fixture(scope="module")
def services(stack: Endpoints, request: pytest.FixtureRequest) -> Services:
    """Let no other worker take the job."""
    return own_services(stack, request)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Hold the listening socket, as the service manager does over restarts."""
    with socket.create_server(("127.0.0.1", free_port()), backlog=128) as held:
        yield held


@contextmanager
def gateway(services: Services, listener: socket.socket, log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Start a gateway on the socket; it is asked to end when the block is left."""
    descriptor = listener.fileno()
    with log.open("ab") as output:
        running = subprocess.Popen(
            [sys.executable, "-c", _AS_SYSTEMD, str(descriptor)],
            cwd=ROOT,
            env=services.environment(LISTEN_FDS="1", DRAIN_SECONDS="1"),
            pass_fds=(descriptor,),
            stdout=output,
            stderr=output,
        )
    try:
        yield running
    finally:
        end(running)


class Subscriber:
    """Watches one visit as an EventSource does: over every end of a stream, until the job is over."""

    def __init__(self, url: str, visit: "UUID | str", tenant: Tenant) -> None:
        self._url = url
        self._path = f"/v1/visits/{visit}/progress"
        self._headers = tenant.headers
        self.seqs: list[int] = []
        self.types: list[str] = []
        self.drains = 0
        self.watches = asyncio.Event()

    async def run(self) -> None:
        """Connect again whenever a stream ends, with the last id; any refusal fails the test."""
        last: int | None = 0
        while "job.completed" not in self.types:
            async with watch(self._url, self._path, headers=self._headers, last_id=last) as stream:
                assert stream.response.status_code == 200
                await stream.until(lambda seen: seen.events or seen.closed.is_set())
                self.watches.set()
                await stream.until_closed()
                assert not stream.broken
                self.seqs += stream.seqs
                self.types += [message.json["type"] for message in stream.events]
                self.drains += len(stream.named("drain"))
                last = self.seqs[-1] if self.seqs else 0


@asynccontextmanager
async def held_up(services: Services) -> AsyncIterator[None]:
    """Let no estimate be saved within the block: reading goes on, inserting waits."""
    connection = await asyncpg.connect(services.admin_url)
    block = connection.transaction()
    await block.start()
    await connection.execute("LOCK TABLE estimates IN SHARE MODE")
    try:
        yield
    finally:
        await block.rollback()
        await connection.close()


async def until(admin: Admin, question: str, *values: object) -> None:
    """Ask the database until it says yes: what other processes do sends us no signal."""
    async with asyncio.timeout(SECONDS):
        while not await admin.fetchval(question, *values):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.timeout(240)
async def test_a_restart_loses_no_event_and_charges_no_attempt(
    services: Services, admin: Admin, tenant: Tenant, listener: socket.socket, tmp_path: Path
) -> None:
    """Gateway and worker are replaced while a job runs and somebody watches it."""
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    worker_environment = services.environment(FUNCTION_NAME="worker", WORKER_CONCURRENCY="1")
    with (
        gateway(services, listener, tmp_path / "gateway.log") as first,
        process("worker", ["jobs.worker"], worker_environment, tmp_path) as old,
    ):
        await asyncio.to_thread(wait_until_ready, url, first, tmp_path / "gateway.log")
        async with held_up(services), httpx.AsyncClient(base_url=url, headers=tenant.headers, timeout=60) as client:
            visit = (await client.post("/v1/visits", json={"notes": "Replace 3 GFCI outlets."})).json()["id"]
            job = (await client.post(f"/v1/visits/{visit}/estimate")).json()["id"]
            subscriber = Subscriber(url, visit, tenant)
            watching = asyncio.create_task(subscriber.run())
            await until(
                admin, "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'estimates'::regclass AND NOT granted)"
            )
            await asyncio.wait_for(subscriber.watches.wait(), SECONDS)
            old.terminate()
            first.terminate()
            # Asked while the first one drains, or nobody accepts: answered by whoever serves next.
            asked = asyncio.create_task(asyncio.to_thread(httpx.get, f"{url}/livez", timeout=SECONDS))
            await asyncio.gather(asyncio.to_thread(first.wait, SECONDS), asyncio.to_thread(old.wait, SECONDS))
            await until(admin, "SELECT status = 'queued' FROM ai_jobs WHERE id = $1", job)
    with (
        gateway(services, listener, tmp_path / "gateway.log"),
        process("worker", ["jobs.worker"], worker_environment, tmp_path),
    ):
        async with asyncio.timeout(SECONDS):
            assert (await asked).status_code == 200
            await watching
    assert subscriber.seqs == [*range(1, len(subscriber.seqs) + 1)]
    assert subscriber.drains == 1
    assert [subscriber.types.count(kind) for kind in ("job.started", "job.released", "job.completed")] == [2, 1, 1]
    row = await admin.fetchrow("SELECT status, attempts FROM ai_jobs WHERE id = $1", job)
    assert row is not None
    assert tuple(row) == ("completed", 1)
