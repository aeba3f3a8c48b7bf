"""Pages of a real Chromium that watch a visit by way of static/progress.js."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from playwright.async_api import Browser, BrowserContext, Page

from tests.realtime.stream_gateway import StreamGateway
from tests.tenants import Tenant

WATCH = """async ([visit, options]) => {
    const { watchVisit } = await import("/static/progress.js");
    window.told = { events: [], snapshots: [], states: [], roles: [], ends: [], tickets: 0 };
    const ticket = async () => {
        window.told.tickets += 1;
        const answer = await fetch(`/v1/visits/${visit}/progress/ticket`, { method: "POST", headers: options.headers });
        return (await answer.json()).ticket;
    };
    window.watching = watchVisit(visit, {
        onEvent: (event) => window.told.events.push(event.seq),
        onSnapshot: (event) => window.told.snapshots.push(event.seq),
        onState: (state) => window.told.states.push(state),
        onRole: (role) => window.told.roles.push(role),
        onEnd: (reason) => window.told.ends.push(reason),
        ...(options.headers && { fetchTicket: ticket, headers: () => options.headers }),
    });
}"""
WITHIN_SECONDS = 30  # for a busy machine


@dataclass(frozen=True)
class Tab:
    """A page that watches a visit."""

    page: Page

    async def watch(self, visit: UUID, **options: Any) -> None:
        """Begin to watch."""
        await self.page.evaluate(WATCH, [str(visit), options])

    async def until(self, condition: str) -> None:
        """Wait until an expression over `told` is true."""
        # Not wait_for_function: it evaluates in the page, which the page's policy forbids.
        expression = f"(({{ events, states, roles, ends, snapshots }}) => Boolean({condition}))(told)"
        async with asyncio.timeout(WITHIN_SECONDS):
            while not await self.page.evaluate(expression):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def told(self) -> dict[str, Any]:
        """Return what the page was told."""
        told: dict[str, Any] = await self.page.evaluate("told")
        return told

    async def role(self) -> str:
        """Return which part it plays now."""
        role: str = await self.page.evaluate("told.roles.at(-1)")
        return role


async def open_window(browser: Browser, url: str, tenant: Tenant | None = None) -> BrowserContext:
    """Open a browser of a person's own, signed in by cookie when a tenant is given."""
    context = await browser.new_context(base_url=url)
    if tenant is not None:
        cookie = {"name": "scopekit_session", "value": tenant.session, "url": url}
        await context.add_cookies([cookie])  # type: ignore[list-item]
    return context


async def open_tab(context: BrowserContext) -> Tab:
    """Open a page of the gateway's origin in it."""
    page = await context.new_page()
    await page.goto("/static/mark.svg")
    return Tab(page)


def cut_streams(gateway: StreamGateway) -> None:
    """Drop every open stream, as a proxy that restarts does."""
    for subscriber in gateway.hub._wheel.all():
        subscriber.abort()
