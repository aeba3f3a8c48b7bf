"""A plain EventSource of another origin, by ticket: it comes back by itself and misses nothing."""

import asyncio
from uuid import UUID

import httpx
import pytest
from playwright.async_api import Browser
from starlette.responses import HTMLResponse

from gateway.progress import responses
from realtime.streams.stream_limits import Limits
from store.pool import Database
from tests.realtime.client.strict_source import ORIGIN, SECONDS, StrictEventSource
from tests.realtime.client.tab import cut_streams
from tests.realtime.feed.watcher import path
from tests.realtime.stream_gateway import StreamGateway, make_visit, open_gateway, tell
from tests.stack import Services
from tests.support.servers.web import serve_in_thread
from tests.tenants import Tenant

FOLLOW = """(address) => {
    window.seqs = [];
    window.ended = new Promise((done) => {
        const source = new EventSource(address);
        source.onmessage = ({ data }) => {
            const { seq, type } = JSON.parse(data);
            if (type !== "snapshot") window.seqs.push(seq);
        };
        source.addEventListener("end", ({ data }) => done(JSON.parse(data).reason));
        source.onerror = () => source.readyState === EventSource.CLOSED && done("closed for good");
    });
}"""


async def ticket_for(gateway: StreamGateway, tenant: Tenant, visit: UUID) -> str:
    """Return the address that a ticket opens; its HEAD is asked for first, as link checkers do."""
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        given = (await client.post(f"{path(visit)}/ticket", headers=tenant.headers)).json()
        assert (await client.head(given["url"])).status_code == 200
    url: str = given["url"]
    return url


async def test_a_strict_client_survives_cuts_and_busy(services: Services, db: Database, tenant: Tenant) -> None:
    """Twenty events over five connections and a refusal: once each and in order."""
    visit = await make_visit(db, tenant)
    async with open_gateway(services.settings(allowed_origins=ORIGIN)) as gateway:
        source = StrictEventSource(gateway.url, await ticket_for(gateway, tenant, visit))
        running = asyncio.create_task(source.run())
        await source.until("hello")
        for _ in range(4):
            await tell(db, tenant, visit, *["step.progress"] * 4)
            cut_streams(gateway)
            await tell(db, tenant, visit, "step.started")
            await source.until("hello")
        await tell(db, tenant, visit, "job.completed")
        async with asyncio.timeout(SECONDS):
            await running
    assert source.seqs == list(range(1, 22))
    assert source.connections == 5


async def test_busy_does_not_stop_a_strict_client(
    services: Services, db: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused at first, it opens by the same ticket."""
    monkeypatch.setattr(responses, "_BUSY_MS", 100)
    monkeypatch.setattr(responses, "_BUSY_JITTER_MS", 100)
    visit = await make_visit(db, tenant)
    async with open_gateway(services.settings(allowed_origins=ORIGIN), limits=Limits(per_user=0)) as gateway:
        source = StrictEventSource(gateway.url, await ticket_for(gateway, tenant, visit))
        running = asyncio.create_task(source.run())
        await source.until("end")
        gateway.hub.admission._limiter._limits = Limits()
        await tell(db, tenant, visit, "job.completed")
        async with asyncio.timeout(SECONDS):
            await running
    assert source.connections == 2


@pytest.mark.browser
async def test_chromiums_eventsource_survives_cuts(
    services: Services, db: Database, tenant: Tenant, browser: Browser
) -> None:
    """A page of another origin, without cookie and header."""
    visit = await make_visit(db, tenant)
    with serve_in_thread(HTMLResponse("<title>Another origin</title>")) as origin:
        async with open_gateway(services.settings(allowed_origins=origin)) as gateway:
            page = await browser.new_page()
            await page.goto(origin)
            await page.evaluate(FOLLOW, gateway.url + await ticket_for(gateway, tenant, visit))
            for opened in range(1, 4):
                async with asyncio.timeout(SECONDS):
                    while gateway.hub.stats()["opened"] < opened:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                await tell(db, tenant, visit, *["step.progress"] * 3)
                cut_streams(gateway)
            await tell(db, tenant, visit, "job.completed")
            assert await page.evaluate("window.ended") == "completed"
            assert await page.evaluate("window.seqs") == list(range(1, 11))
            await page.close()
