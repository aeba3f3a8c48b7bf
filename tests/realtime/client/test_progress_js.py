"""static/progress.js in one page of a real Chromium."""

import gzip
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID, uuid4

import asyncpg
import pytest
from playwright.async_api import Browser, Route

from config.settings import Settings
from gateway.pages.pages import _STATIC
from realtime.streams.stream_limits import Limits
from store.pool import Database
from tests.realtime.client.tab import Tab, cut_streams, open_window
from tests.realtime.client.tab import open_tab as open_tab_in
from tests.realtime.feed.watcher import eventually
from tests.realtime.stream_gateway import StreamGateway, make_visit, open_gateway, tell
from tests.tenants import Tenant, open_session

pytestmark = pytest.mark.browser

OpenTab = Callable[..., Awaitable[Tab]]


@pytest.fixture
async def open_tab(browser: Browser, admin: asyncpg.Connection) -> OpenTab:
    """Open a window with one page, signed in by cookie when a tenant is given."""

    async def opened(gateway: StreamGateway, tenant: Tenant | None = None, *, seconds: int | None = None) -> Tab:
        if tenant is not None and seconds is not None:
            tenant = replace(tenant, session=await open_session(admin, tenant.user_id, tenant.id, seconds=seconds))
        return await open_tab_in(await open_window(browser, gateway.url, tenant))

    return opened


async def test_a_page_sees_every_event_and_the_end(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, open_tab: OpenTab
) -> None:
    """Snapshot, events, end: once each and in order, and then the page rests."""
    await tell(db, tenant, visit, "media.stored")
    tab = await open_tab(gateway, tenant)
    await tab.watch(visit)
    await tab.until("snapshots.length")
    await tell(db, tenant, visit, "job.queued", "step.progress", "job.completed", job_id=uuid4())
    await tab.until("ends.length")
    told = await tab.told()
    assert (told["snapshots"], told["events"], told["ends"]) == ([1], [2, 3, 4], ["completed"])
    assert told["states"] == ["connecting", "live", "idle"]
    await eventually(lambda: gateway.hub.stats()["streams"] == 0)


async def test_a_page_that_is_cut_off_resumes(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, open_tab: OpenTab
) -> None:
    """Three times the stream is cut among inserts; the browser comes back by itself and misses nothing."""
    tab = await open_tab(gateway, tenant)
    await tab.watch(visit)
    await tab.until("snapshots.length")
    for round_ in range(1, 4):
        await tell(db, tenant, visit, "step.progress", "step.progress")
        cut_streams(gateway)
        await tell(db, tenant, visit, "step.progress")
        await tab.until(f"events.at(-1) === {round_ * 3}")
    told = await tab.told()
    assert (told["snapshots"], told["events"]) == ([0], list(range(1, 10)))
    assert "reconnecting" in told["states"]


async def test_a_draining_gateway_hands_its_page_on(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, open_tab: OpenTab
) -> None:
    """After `drain` the page reconnects within its jittered retry and misses nothing."""
    tab = await open_tab(gateway, tenant)
    await tab.watch(visit)
    await tab.until("states.includes('live')")
    await gateway.hub.drain(0)
    await tell(db, tenant, visit, "step.progress")
    gateway.hub.admission.draining = False
    await tab.until("events.length")
    assert (await tab.told())["states"] == ["connecting", "live", "reconnecting", "live"]


async def test_a_page_from_another_origin_uses_tickets(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, open_tab: OpenTab
) -> None:
    """Without a cookie a ticket opens the stream and resumes it."""
    tab = await open_tab(gateway)
    await tab.watch(visit, headers=tenant.headers)
    await tab.until("states.includes('live')")
    await tell(db, tenant, visit, "step.progress")
    cut_streams(gateway)
    await tell(db, tenant, visit, "step.progress", "job.failed")
    await tab.until("ends.length")
    told = await tab.told()
    assert (told["events"], told["ends"], told["tickets"]) == ([1, 2, 3], ["failed"], 1)


async def test_where_streams_do_not_get_through_the_page_polls(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, open_tab: OpenTab
) -> None:
    """A proxy that answers every stream with 502 makes the page ask for pages, down to the end."""
    await tell(db, tenant, visit, "job.queued", job_id=uuid4())
    tab = await open_tab(gateway, tenant)

    async def refuse(route: Route) -> None:
        await route.fulfill(status=502)

    await tab.page.route(re.compile(r"/progress\?"), refuse)
    await tab.watch(visit)
    await tab.until("states.includes('polling') && events.length")
    await tell(db, tenant, visit, "step.progress", "job.completed")
    await tab.until("ends.length")
    told = await tab.told()
    assert (told["events"], told["ends"]) == ([1, 2, 3], ["completed"])


async def test_a_refused_page_comes_back(settings: Settings, db: Database, tenant: Tenant, open_tab: OpenTab) -> None:
    """`busy` keeps an EventSource trying: once there is room it gets its stream."""
    visit = await make_visit(db, tenant)
    async with open_gateway(settings, limits=Limits(per_user=0)) as gateway:
        tab = await open_tab(gateway, tenant)
        await tab.watch(visit)
        await tab.until("states.includes('reconnecting')")
        gateway.hub.admission._limiter._limits = Limits()
        await tab.until("states.includes('live')")
        assert (await tab.told())["ends"] == []


async def test_a_page_is_told_that_its_session_ended(
    gateway: StreamGateway, tenant: Tenant, visit: UUID, open_tab: OpenTab
) -> None:
    """When the token runs out and no newer cookie is there, the page is told so, once."""
    tab = await open_tab(gateway, tenant, seconds=3)
    await tab.watch(visit)
    await tab.until("ends.length")
    told = await tab.told()
    assert (told["ends"], told["states"][-1]) == (["expired"], "idle")


async def test_turning_the_flag_off_ends_the_watch(
    gateway: StreamGateway, admin: asyncpg.Connection, tenant: Tenant, visit: UUID, open_tab: OpenTab
) -> None:
    """`disabled` is an end the page does not fight."""
    tab = await open_tab(gateway, tenant)
    await tab.watch(visit)
    await tab.until("states.includes('live')")
    await admin.execute("UPDATE tenant_settings SET feature_flags = '{}' WHERE tenant_id = $1", tenant.id)
    await tab.until("ends.length")
    assert (await tab.told())["ends"] == ["disabled"]


def test_the_module_stays_small() -> None:
    """At most 6 KB gzipped, and it loads nothing else."""
    source = (_STATIC / "progress.js").read_bytes()
    assert len(gzip.compress(source)) <= 6 * 1024
    assert b"import {" not in source
