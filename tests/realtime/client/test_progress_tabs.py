"""Many tabs of one visit: one connection, and every tab is told everything, whatever happens to any of them."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from playwright.async_api import Browser, BrowserContext, Error, Route

from store.pool import Database
from tests.product import free_port, process, wait_until_ready
from tests.realtime.client.tab import Tab, cut_streams, open_tab, open_window
from tests.realtime.feed.watcher import eventually
from tests.realtime.stream_gateway import StreamGateway, tell
from tests.stack import Services
from tests.tenants import Tenant

pytestmark = pytest.mark.browser

FAILOVER_SECONDS = 1.0
# Longer than a stream may be silent, and longer than followers wait for a leader's word.
SILENT_MS, LEADERLESS_MS = 70_000, 230_000


async def watching(context: BrowserContext, visit: UUID, number: int, **options: object) -> list[Tab]:
    """Open tabs that watch the visit; the first of them leads."""
    tabs = [await open_tab(context) for _ in range(number)]
    for tab in tabs:
        await tab.watch(visit, **options)
        await tab.until("states.at(-1) === 'live' && snapshots.length")
    assert [await tab.role() for tab in tabs] == ["leading", *["following"] * (number - 1)]
    return tabs


async def each_saw(tabs: list[Tab], last: int, *, first: int = 1) -> None:
    """Wait until every tab has the last event; then each has all from the first, once and in order."""
    for tab in tabs:
        await tab.until(f"events.at(-1) >= {last}")
    for tab in tabs:
        assert (await tab.told())["events"] == list(range(first, last + 1))


@asynccontextmanager
async def steadily(db: Database, tenant: Tenant, visit: UUID) -> AsyncIterator[None]:
    """Insert events all the while."""
    enough = asyncio.Event()

    async def insert() -> None:
        while not enough.is_set():
            await tell(db, tenant, visit, "step.progress")
            await asyncio.sleep(0.01)

    inserting = asyncio.create_task(insert())
    try:
        yield
    finally:
        enough.set()
        await inserting


async def test_five_tabs_share_one_stream_to_the_end(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, browser: Browser
) -> None:
    """One request for all, also for a tab that comes late: it has the snapshot and all that followed."""
    context = await open_window(browser, gateway.url, tenant)
    tabs = await watching(context, visit, 4)
    await tell(db, tenant, visit, "job.queued", *["step.progress"] * 8, payload={"said": "a\u2028b: 👷\r\n\n"})
    tabs.append(late := await open_tab(context))
    await late.watch(visit)
    await late.until("events.length")
    await tell(db, tenant, visit, *["step.progress"] * 5, "job.completed", job_id=uuid4())
    await each_saw(tabs, 15)
    for tab in tabs:
        await tab.until("ends.length")
        told = await tab.told()
        assert (told["snapshots"], told["ends"], told["states"][-1]) == ([0], ["completed"], "idle")
    await eventually(lambda: gateway.hub.stats()["streams"] == 0)
    assert gateway.hub.stats()["opened"] == 1


@pytest.mark.parametrize("ending", ["closed", "crashed"])
async def test_another_tab_takes_the_lead_within_a_second(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, browser: Browser, ending: str
) -> None:
    """Under a steady stream of inserts the leader goes, twice; the others miss nothing and double nothing."""
    tabs = await watching(await open_window(browser, gateway.url, tenant), visit, 4)
    async with steadily(db, tenant, visit):
        for round_ in (2, 3):
            await tabs[-1].until("events.length > 20")
            began = time.monotonic()
            await (tabs[0].page.close() if ending == "closed" else crash(tabs[0]))
            await eventually(lambda opened=round_: gateway.hub.stats()["opened"] == opened)  # type: ignore[misc]
            assert time.monotonic() - began < FAILOVER_SECONDS
            del tabs[0]
            await tabs[0].until("roles.at(-1) === 'leading' && states.at(-1) === 'live'")
    await each_saw(tabs, await tell(db, tenant, visit, "step.progress"))
    assert await tabs[-1].role() == "following"


async def crash(tab: Tab) -> None:
    """Kill the page's renderer, which then has no chance to say goodbye."""
    session = await tab.page.context.new_cdp_session(tab.page)
    with suppress(Error, TimeoutError):
        async with asyncio.timeout(0.2):
            await session.send("Page.crash")


async def test_tabs_outlive_a_killed_gateway(
    services: Services, db: Database, tenant: Tenant, visit: UUID, browser: Browser, tmp_path: Path
) -> None:
    """The gateway is killed and started again on its port, events going on: each tab has all of them."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    variables = services.environment(PORT=str(port), ALLOWED_ORIGINS=url)
    with process("gateway", ["gateway", "serve"], variables, tmp_path) as gateway:
        wait_until_ready(url, gateway, tmp_path / "gateway.log")
        tabs = await watching(await open_window(browser, url, tenant), visit, 3)
        await tell(db, tenant, visit, *["step.progress"] * 3)
        await each_saw(tabs, 3)
        gateway.kill()
        gateway.wait()
    await tell(db, tenant, visit, *["step.progress"] * 3)
    await tabs[2].until("states.at(-1) === 'reconnecting'")
    with process("gateway", ["gateway", "serve"], variables, tmp_path) as gateway:
        wait_until_ready(url, gateway, tmp_path / "gateway.log")
        await tell(db, tenant, visit, *["step.progress"] * 3, "job.completed", job_id=uuid4())
        await each_saw(tabs, 10)
        for tab in tabs:
            await tab.until("ends.length")


async def test_a_window_that_was_offline_catches_up(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, browser: Browser
) -> None:
    """What happened while the network was away comes as soon as it is back."""
    context = await open_window(browser, gateway.url, tenant)
    tabs = await watching(context, visit, 3)
    await context.set_offline(True)
    cut_streams(gateway)
    await tell(db, tenant, visit, *["step.progress"] * 3)
    await tabs[1].until("states.at(-1) === 'reconnecting'")
    await context.set_offline(False)
    await each_saw(tabs, 3)
    await tell(db, tenant, visit, *["step.progress"] * 3)
    await each_saw(tabs, 6)


async def test_each_leader_takes_a_ticket_of_its_own(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, browser: Browser
) -> None:
    """The leader's ticket lasts over its connections; the next leader takes another."""
    tabs = await watching(await open_window(browser, gateway.url), visit, 3, headers=tenant.headers)
    await tell(db, tenant, visit, "step.progress")
    cut_streams(gateway)
    await tell(db, tenant, visit, "step.progress")
    await each_saw(tabs, 2)
    assert [(await tab.told())["tickets"] for tab in tabs] == [1, 0, 0]
    await tabs.pop(0).page.close()
    await tell(db, tenant, visit, "step.progress")
    await each_saw(tabs, 3)
    assert [(await tab.told())["tickets"] for tab in tabs] == [1, 0]


@pytest.mark.parametrize("missing", ["delete window.BroadcastChannel", "delete Navigator.prototype.locks"])
async def test_a_tab_that_cannot_share_has_its_own_connection(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, browser: Browser, missing: str
) -> None:
    """An old browser's tabs each open a stream, and see the same."""
    context = await open_window(browser, gateway.url, tenant)
    await context.add_init_script(missing)
    tabs = [await open_tab(context) for _ in range(2)]
    for tab in tabs:
        await tab.watch(visit)
        await tab.until("snapshots.length")
    await tell(db, tenant, visit, *["step.progress"] * 3, "job.failed", job_id=uuid4())
    await each_saw(tabs, 4)
    assert [await tab.role() for tab in tabs] == ["alone", "alone"]
    assert gateway.hub.stats()["opened"] == 2


async def test_where_streams_do_not_get_through_one_tab_polls_for_all(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, browser: Browser
) -> None:
    """Pages are asked for by the leader alone; the others are told, from the first event on."""
    await tell(db, tenant, visit, "job.queued", job_id=uuid4())
    context = await open_window(browser, gateway.url, tenant)

    async def refuse(route: Route) -> None:
        await route.fulfill(status=502)

    await context.route(re.compile(r"/progress\?"), refuse)
    tabs = [await open_tab(context) for _ in range(2)]
    for tab in tabs:
        await tab.watch(visit)
    await each_saw(tabs, 1)
    await tell(db, tenant, visit, "step.progress", "job.completed")
    await each_saw(tabs, 3)
    assert [(await tab.told())["states"] for tab in tabs][1][-2:] == ["polling", "idle"]


def silence(gateway: StreamGateway) -> None:
    """Leave the streams open, and never write to them again."""
    for subscriber in gateway.hub._wheel.all():
        gateway.hub._wheel.discard(subscriber)
        subscriber.channel.leave(subscriber)
        subscriber.channel.members.discard(subscriber)


async def test_a_window_that_slept_does_not_wait(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, browser: Browser
) -> None:
    """Its stream is dead, no timer of its has run and its clock has jumped: awake, it connects at once for all tabs."""
    context = await open_window(browser, gateway.url, tenant)
    await context.clock.install()
    tabs = await watching(context, visit, 2)
    silence(gateway)
    await tell(db, tenant, visit, "step.progress")
    morning = datetime.now(UTC) + timedelta(hours=8)
    for tab in tabs:
        await tab.page.clock.set_system_time(morning)
        await tab.page.evaluate("document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))")
    await each_saw(tabs, 1)
    assert gateway.hub.stats()["opened"] == 2
    await tell(db, tenant, visit, "step.progress")
    await each_saw(tabs, 2)


async def test_silence_is_not_trusted(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, browser: Browser
) -> None:
    """A stream without heartbeats is opened again; from a leader without words the lead is taken."""
    context = await open_window(browser, gateway.url, tenant)
    await context.clock.install()
    tabs = await watching(context, visit, 2)
    leader, follower = tabs
    silence(gateway)
    await tell(db, tenant, visit, "step.progress")
    await leader.page.clock.fast_forward(SILENT_MS)
    await each_saw(tabs, 1)
    await leader.page.evaluate("BroadcastChannel.prototype.postMessage = () => undefined")
    await tell(db, tenant, visit, "step.progress")
    await each_saw([leader], 2)
    await follower.page.clock.fast_forward(LEADERLESS_MS)
    await each_saw(tabs, 2)
    assert [await tab.role() for tab in tabs] == ["following", "leading"]
    await tell(db, tenant, visit, "step.progress")
    await each_saw(tabs, 3)
