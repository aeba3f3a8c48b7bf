"""Customers in a real browser."""

from typing import Any

import httpx
from playwright.async_api import Page

from tests.gateway.shares.documents import Visit, make_share
from tests.product import Product
from tests.tenants import Tenant


async def link_of(server: Product, tenant: Tenant, visit: Visit, **order: Any) -> str:
    """Make a link as the contractor."""
    async with httpx.AsyncClient(base_url=server.url) as contractor:
        share = await make_share(contractor, tenant, visit, **order)
    url: str = share["url"]
    return url


async def open_page(page: Page, link: str, *, passcode: str = "") -> None:
    """Go to the door and through it."""
    await page.goto(link)
    if passcode:
        await page.get_by_label("Passcode").fill(passcode)
    await page.get_by_role("button", name="Open the estimate").click()
    await page.get_by_role("heading", name="Scope of work").wait_for()


async def draw(page: Page) -> None:
    """Draw something like a name on the pad."""
    canvas = page.locator("[data-pad] canvas")
    await canvas.scroll_into_view_if_needed()
    box = await canvas.bounding_box()
    assert box is not None
    points = [(0.1, 0.6), (0.2, 0.2), (0.3, 0.7), (0.4, 0.3), (0.5, 0.65), (0.7, 0.4), (0.9, 0.5)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    await page.mouse.move(*places[0])
    await page.mouse.down()
    for place in places[1:]:
        await page.mouse.move(*place, steps=3)
    await page.mouse.up()
