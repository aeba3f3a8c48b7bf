"""Each client behind each proxy through each fault: nothing lost, doubled or out of order, and nobody asks for ever."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from playwright.async_api import Browser
from starlette.responses import HTMLResponse

from store.pool import Database
from tests.deploy.proxies.proxies import PROXIES, Front
from tests.deploy.proxies.test_streams_behind_proxies import address_for
from tests.product import end, process, wait_until_ready
from tests.proxies.clients import CLIENTS, Watched
from tests.proxies.conftest import TABLE
from tests.realtime.client.strict_source import ORIGIN
from tests.realtime.stream_gateway import make_visit, tell
from tests.stack import QUEUE_KEY, Services
from tests.support.servers.web import serve_in_thread
from tests.tenants import Tenant

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]

IDLE_SECONDS = float(os.environ.get("SCOPEKIT_INTEROP_IDLE", "70"))
EXPIRY_SECONDS = 15
# From the end of a fault until the last client has come back.
SECONDS = 90.0


@dataclass
class Scene:
    """A gateway behind a proxy, and a visit that something happens at."""

    front: Front
    services: Services
    db: Database
    tenant: Tenant
    visit: UUID
    directory: Path
    running: ExitStack
    page: str
    told: int = 0

    async def start(self) -> None:
        """Start the gateway."""
        port = self.front.gateway_ports[0]
        environment = self.services.environment(
            PORT=str(port), DRAIN_SECONDS="0.5", ALLOWED_ORIGINS=f"{ORIGIN},{self.page}"
        )
        self.gateway = self.running.enter_context(process("gateway", ["gateway", "serve"], environment, self.directory))
        url, log = f"http://127.0.0.1:{port}", self.directory / "gateway.log"
        await asyncio.to_thread(wait_until_ready, url, self.gateway, log)

    async def tell(self, *types: str) -> None:
        """Have something happen."""
        self.told = await tell(self.db, self.tenant, self.visit, *types)

    async def streams(self) -> int:
        """Return how many streams the gateway has open."""
        headers = {"x-internal-key": QUEUE_KEY}
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://127.0.0.1:{self.front.gateway_ports[0]}/metrics", headers=headers)).text
        lines = [line for line in text.splitlines() if line.startswith("scopekit_streams_open ")]
        return round(float(lines[0].split()[1]))

    async def replace(self, number: signal.Signals) -> None:
        """End the gateway, have something happen, and start it again."""
        self.gateway.send_signal(number)
        await self.tell("step.progress")
        await asyncio.to_thread(self.gateway.wait)
        await self.tell("step.started")
        await self.start()


async def restart(scene: Scene) -> None:
    """SIGTERM and a new process."""
    await scene.replace(signal.SIGTERM)
    await scene.tell("step.completed", "job.completed")


async def kill(scene: Scene) -> None:
    """Kill -9 and a new process."""
    await scene.replace(signal.SIGKILL)
    await scene.tell("step.completed", "job.completed")


async def idle(scene: Scene) -> None:
    """Nothing happens for longer than two heartbeats."""
    await asyncio.sleep(IDLE_SECONDS)
    await scene.tell("step.progress", "job.completed")


async def expiry(scene: Scene) -> None:
    """The token ends; clients are told so, and stop."""
    await scene.tell("step.progress")


FAULTS: Mapping[str, Callable[[Scene], Awaitable[None]]] = {
    "restart": restart,
    "kill -9": kill,
    f"idle {IDLE_SECONDS:.0f} s": idle,
    "token expiry": expiry,
}


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Front]]:
    """Run each proxy in turn."""
    with PROXIES[request.param](tmp_path_factory.mktemp(request.param)) as front:
        yield request.param, front


@pytest.mark.parametrize("fault", FAULTS)
async def test_nobody_misses_anything(
    proxy: tuple[str, Front],
    services: Services,
    db: Database,
    tenant: Tenant,
    browser: Browser,
    tmp_path: Path,
    fault: str,
) -> None:
    """All clients at once: each ends by itself, with every event once and in order."""
    name, front = proxy
    with ExitStack() as running:
        page = running.enter_context(serve_in_thread(HTMLResponse("<title>Another origin</title>")))
        scene = Scene(front, services, db, tenant, await make_visit(db, tenant), tmp_path, running, page)
        await scene.start()
        seconds = EXPIRY_SECONDS if fault == "token expiry" else 3600
        token = tenant.token(seconds=seconds)
        ticket = await address_for(front, tenant, scene.visit, token)
        clients: dict[str, asyncio.Task[list[int]]] = {}
        for client, follow in CLIENTS.items():
            directory = tmp_path / client.replace(" ", "-")
            directory.mkdir()
            watched = Watched(front, str(scene.visit), token, ticket, directory, browser, page)
            clients[client] = asyncio.create_task(follow(watched))
        async with asyncio.timeout(SECONDS):
            while await scene.streams() < len(CLIENTS):
                assert not any(task.done() for task in clients.values()), clients
                await asyncio.sleep(0.1)
        await FAULTS[fault](scene)
        await asyncio.wait(clients.values(), timeout=SECONDS)
        for client, task in clients.items():
            TABLE[name, client][fault] = _verdict(task, scene.told)
        for task in clients.values():
            task.cancel()
        await asyncio.gather(*clients.values(), return_exceptions=True)
        end(scene.gateway)
    assert {client: TABLE[name, client][fault] for client in CLIENTS} == dict.fromkeys(CLIENTS, "0")


def _verdict(task: "asyncio.Task[list[int]]", told: int) -> str:
    """Say how many events a client missed or had twice, or why it has no end."""
    if not task.done():
        return "asks for ever"
    if (error := task.exception()) is not None:
        return f"{type(error).__name__} {error}"[:20]
    seqs, wanted = task.result(), list(range(1, told + 1))
    lost, doubled = len(set(wanted) - set(seqs)), len(seqs) - len(set(seqs))
    return "0" if seqs == wanted else f"{lost} lost, {doubled} doubled" if lost or doubled else "out of order"
