"""Streams behind the proxies that we ship, over the death of the gateway: no EventSource is told anything but 200."""

import asyncio
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from store.pool import Database
from tests.deploy import caddy, nginx
from tests.product import free_port, process, wait_until_ready
from tests.realtime.client.eventsource import EventStream
from tests.realtime.client.strict_source import ORIGIN, SECONDS, StrictEventSource
from tests.realtime.feed.watcher import path
from tests.realtime.stream_gateway import make_visit, tell
from tests.stack import Services
from tests.support.ci import skip_or_fail
from tests.tenants import Tenant

STREAMS = (
    *("/v1/visits/0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90/progress", "/v1/progress?visit_id=x", "/v1/tenant/progress"),
    "/functions/v1/sse-progress?visit_id=x",
)


@dataclass(frozen=True)
class Front:
    """A proxy's address and whom to trust for it; behind it `gateway_port`, where a gateway may listen or not."""

    url: str
    trust: ssl.SSLContext
    gateway_port: int


@contextmanager
def behind_nginx(directory: Path) -> Iterator[Front]:
    """Run nginx with the shipped configuration before a port where nobody listens yet."""
    if nginx.PROGRAM is None:
        skip_or_fail("nginx is not installed: apt-get install nginx-light")
    port = free_port()
    main, front, cert = nginx.configure(directory, port)
    with nginx.nginx(main):
        yield Front(f"https://127.0.0.1:{front}", ssl.create_default_context(cafile=str(cert)), port)


@contextmanager
def behind_caddy(directory: Path) -> Iterator[Front]:
    """Run Caddy with the shipped configuration before a port where nobody listens yet."""
    if caddy.PROGRAM is None:
        skip_or_fail("caddy is not installed: apt-get install caddy")
    port = free_port()
    with caddy.caddy(directory, port) as front:
        yield Front(f"http://127.0.0.1:{front}", ssl.create_default_context(), port)


PROXIES: dict[str, Callable[[Path], AbstractContextManager[Front]]] = {"nginx": behind_nginx, "caddy": behind_caddy}


@pytest.fixture(params=PROXIES)
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    """Give each proxy in turn, once it answers."""
    with PROXIES[request.param](tmp_path) as found:
        transport = httpx.HTTPTransport(verify=found.trust, retries=8)
        with httpx.Client(base_url=found.url, transport=transport) as client:
            assert client.get("/metrics").status_code == 404  # the proxy's own word
        yield found


@pytest.mark.parametrize("stream", STREAMS)
async def test_without_a_gateway_a_stream_is_told_to_come_back(front: Front, stream: str) -> None:
    """200, one event with data and a retry, for a page of another origin too."""
    async with httpx.AsyncClient(base_url=front.url, verify=front.trust, timeout=SECONDS) as client:
        answer = await client.get(stream, headers={"origin": ORIGIN})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    told = EventStream()
    told.feed(answer.content)
    assert [(message.event, message.json) for message in told.messages] == [("drain", {})]
    assert 2_000 <= told.retries[0] <= 5_000


async def test_without_a_gateway_everything_else_is_told_so(front: Front) -> None:
    """What is no stream gets the proxy's 502 or 503."""
    async with httpx.AsyncClient(base_url=front.url, verify=front.trust, timeout=SECONDS) as client:
        assert (await client.post("/v1/visits", json={})).status_code in (502, 503)


@pytest.fixture
async def gateways(
    services: Services, front: Front, tmp_path: Path
) -> AsyncIterator[Callable[[], subprocess.Popen[bytes]]]:
    """Give a function that starts a gateway behind the proxy, and waits for it."""
    with ExitStack() as running:

        def start() -> subprocess.Popen[bytes]:
            environment = services.environment(
                PORT=str(front.gateway_port), DRAIN_SECONDS="0.5", ALLOWED_ORIGINS=ORIGIN
            )
            started = running.enter_context(process("gateway", ["gateway", "serve"], environment, tmp_path))
            wait_until_ready(f"http://127.0.0.1:{front.gateway_port}", started, tmp_path / "gateway.log")
            return started

        yield start


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
async def test_a_stream_outlives_the_gateway(
    front: Front,
    gateways: Callable[[], subprocess.Popen[bytes]],
    db: Database,
    tenant: Tenant,
    number: signal.Signals,
) -> None:
    """A gateway goes, by accident or on purpose; a strict client with a ticket comes back and misses nothing."""
    visit = await make_visit(db, tenant)
    first = await asyncio.to_thread(gateways)
    async with httpx.AsyncClient(base_url=front.url, verify=front.trust) as client:
        ticket = (await client.post(f"{path(visit)}/ticket", headers=tenant.headers)).json()
    source = StrictEventSource(front.url, ticket["url"], trust=front.trust)
    running = asyncio.create_task(source.run())
    await source.until("hello")
    await tell(db, tenant, visit, "a.b")
    await source.until("message")
    first.send_signal(number)
    await asyncio.to_thread(first.wait)
    await tell(db, tenant, visit, "a.b")
    if number is signal.SIGKILL:
        await source.until("drain")  # the proxy's
    await asyncio.to_thread(gateways)
    await tell(db, tenant, visit, "job.completed")
    async with asyncio.timeout(SECONDS):
        await running
    assert source.seqs == [1, 2, 3]
