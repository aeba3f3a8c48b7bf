"""Streams behind proxies over the death of gateways: no EventSource sees anything but 200, and nobody an error."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from store.pool import Database
from tests.deploy.proxies.proxies import PROXIES, Front
from tests.product import process, wait_until_ready
from tests.realtime.client.eventsource import EventStream
from tests.realtime.client.strict_source import ORIGIN, SECONDS, StrictEventSource
from tests.realtime.feed.watcher import path
from tests.realtime.stream_gateway import make_visit, tell
from tests.stack import Services
from tests.tenants import Tenant

STREAMS = (
    *("/v1/visits/0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90/progress", "/v1/progress?visit_id=x", "/v1/tenant/progress"),
    "/functions/v1/sse-progress?visit_id=x",
)
# Between the two gateways of a rolling restart, as docs/how-to/proxies.md says: the proxy must know the first again.
SETTLE_SECONDS = 3.0
IN_CI = pytest.mark.parametrize("front", ["nginx", "caddy", "haproxy"], indirect=True)
SIGNALS = pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])

Gateway = subprocess.Popen[bytes]
Start = Callable[[int], Gateway]


@pytest.fixture(params=PROXIES)
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    """Give each proxy in turn, once it answers."""
    with PROXIES[request.param](tmp_path) as found:
        yield found


async def test_without_a_gateway_streams_are_told_to_come_back(front: Front) -> None:
    """Every stream gets 200, one event with data and a retry, for a page of another origin too; the rest an error."""
    async with httpx.AsyncClient(base_url=front.url, verify=front.trust, timeout=SECONDS) as client:
        for stream in STREAMS:
            answer = await client.get(stream, headers={"origin": ORIGIN})
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            told = EventStream()
            told.feed(answer.content)
            assert [(message.event, message.json) for message in told.messages] == [("drain", {})]
            assert 2_000 <= told.retries[0] <= 5_000
        assert (await client.post("/v1/visits", json={})).status_code in (500, 502, 503)


@pytest.fixture
async def start(services: Services, front: Front, tmp_path: Path) -> AsyncIterator[Start]:
    """Give a function that starts the first or the second gateway behind the proxy, and waits for it."""
    with ExitStack() as running:

        def started(number: int) -> Gateway:
            port = front.gateway_ports[number]
            environment = services.environment(PORT=str(port), DRAIN_SECONDS="0.5", ALLOWED_ORIGINS=ORIGIN)
            name = f"gateway{number}"
            found = running.enter_context(process(name, ["gateway", "serve"], environment, tmp_path))
            wait_until_ready(f"http://127.0.0.1:{port}", found, tmp_path / f"{name}.log")
            return found

        yield started


async def address_for(front: Front, tenant: Tenant, visit: UUID, token: str | None = None) -> str:
    """Return what a ticket opens; asked for until the proxy has found a gateway."""
    headers = {"authorization": f"Bearer {token or tenant.token()}"}
    async with httpx.AsyncClient(base_url=front.url, verify=front.trust) as client, asyncio.timeout(SECONDS):
        while True:
            answer = await client.post(f"{path(visit)}/ticket", headers=headers)
            if answer.status_code == httpx.codes.CREATED:
                url: str = answer.json()["url"]
                return url
            await asyncio.sleep(0.2)


@IN_CI
@SIGNALS
async def test_a_stream_outlives_the_only_gateway(
    front: Front, start: Start, db: Database, tenant: Tenant, number: signal.Signals
) -> None:
    """It goes, by accident or on purpose; a strict client with a ticket comes back to its heir and misses nothing."""
    visit = await make_visit(db, tenant)
    first = await asyncio.to_thread(start, 0)
    source = StrictEventSource(front.url, await address_for(front, tenant, visit), trust=front.trust)
    running = asyncio.create_task(source.run())
    await source.until("hello")
    await tell(db, tenant, visit, "a.b")
    await source.until("message")
    first.send_signal(number)
    await asyncio.to_thread(first.wait)
    await tell(db, tenant, visit, "a.b")
    if number is signal.SIGKILL:
        await source.until("drain")  # the proxy's
    await asyncio.to_thread(start, 0)
    await tell(db, tenant, visit, "job.completed")
    async with asyncio.timeout(SECONDS):
        await running
    assert source.seqs == [1, 2, 3]


class Asker:
    """Asks all the time for what is no stream, and makes visits; `errors` are the answers that nobody should see."""

    def __init__(self, front: Front, tenant: Tenant, *, writes: bool) -> None:
        self._client = httpx.AsyncClient(base_url=front.url, verify=front.trust, headers=tenant.headers)
        self._writes = writes
        self.errors: list[str] = []
        self.answers = 0

    async def run(self) -> None:
        """Ask until it is cancelled."""
        async with self._client:
            while True:
                await self._ask("GET", "/v1/visits")
                if self._writes:
                    await self._ask("POST", "/v1/visits", {})
                await asyncio.sleep(0.01)

    async def _ask(self, method: str, address: str, body: object = None) -> None:
        try:
            answer = await self._client.request(method, address, json=body)
        except httpx.TransportError as error:
            if method == "POST":
                self.errors.append(f"{method} {error!r}")
                return
            # A kept connection that ends without an answer: a browser reads again, and HAProxy counts on that.
            answer = await self._client.request(method, address)
        self.answers += 1
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            self.errors.append(f"{method} {answer.status_code}")


@SIGNALS
@pytest.mark.parametrize("front", ["nginx", "haproxy"], indirect=True)
async def test_a_rolling_restart_of_two_is_seen_by_nobody(
    front: Front, start: Start, db: Database, tenant: Tenant, number: signal.Signals
) -> None:
    """One after the other goes and comes: each stream has each event once, and no request fails.

    Of requests under a kill only reads are made: one that writes is never sent twice.
    """
    visit = await make_visit(db, tenant)
    gateways = [await asyncio.to_thread(start, each) for each in (0, 1)]
    sources = [
        StrictEventSource(front.url, await address_for(front, tenant, visit), trust=front.trust) for _ in range(6)
    ]
    asker = Asker(front, tenant, writes=number is signal.SIGTERM)
    asking = asyncio.create_task(asker.run())
    running = [asyncio.create_task(source.run()) for source in sources]
    for source in sources:
        await source.until("hello")
    for which in (0, 1):
        await asyncio.sleep(SETTLE_SECONDS)
        await tell(db, tenant, visit, "a.b")
        gateways[which].send_signal(number)
        await tell(db, tenant, visit, "a.b")
        await asyncio.to_thread(gateways[which].wait)
        await tell(db, tenant, visit, "a.b")
        await asyncio.to_thread(start, which)
    await tell(db, tenant, visit, "job.completed")
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*running)
    asking.cancel()
    assert asker.errors == []
    assert asker.answers > 100
    assert [source.seqs for source in sources] == [list(range(1, 8))] * 6
