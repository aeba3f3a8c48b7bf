"""The customer's page in a real browser: with the keyboard alone, on a phone, with and without JavaScript."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page, async_playwright

from store.pool import Database
from tests.product import Product
from tests.shares.documents import Visit, make_share, save_next
from tests.tenants import Tenant

pytestmark = pytest.mark.browser

QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Start a headless Chromium."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(QUIET))
        yield chromium
        await chromium.close()


async def _link(server: Product, tenant: Tenant, visit: Visit, **order: Any) -> str:
    async with httpx.AsyncClient(base_url=server.url) as contractor:
        share = await make_share(contractor, tenant, visit, **order)
    url: str = share["url"]
    return url


async def _watched(page: Page) -> list[str]:
    """Collect what the browser complains about, and every host that is asked for anything."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: heard.append(request.url) if "127.0.0.1" not in request.url else None)
    return heard


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
async def test_a_customer_opens_and_accepts(
    browser: Browser, server: Product, tenant: Tenant, visit: Visit, admin: Any, javascript: bool
) -> None:
    """Passcode, document, name, accepted: on a phone, with the headers browsers send; no log has the link."""
    link = await _link(server, tenant, visit, passcode="blue door", max_views=1)
    context = await browser.new_context(java_script_enabled=javascript, **PHONE)
    page = await context.new_page()
    heard = await _watched(page)
    await page.goto(link)
    await page.get_by_label("Passcode").fill("blue door")
    await page.get_by_role("button", name="Open the estimate").click()
    await page.get_by_role("heading", name="Scope of work").wait_for()
    assert page.url == link
    await page.get_by_label("Your full name").fill("Maria Alvarez")
    await page.get_by_role("button", name="Accept the estimate").click()
    await page.get_by_text("Accepted by Maria Alvarez").wait_for()
    assert await page.get_by_role("button", name="Accept the estimate").count() == 0
    await page.reload()
    await page.get_by_text("Accepted by Maria Alvarez").wait_for()
    row = await admin.fetchrow(
        "SELECT decision, name FROM share_decisions WHERE estimate_id = $1", visit.estimate["id"]
    )
    assert tuple(row) == ("accepted", "Maria Alvarez")
    assert link.rsplit("/", 1)[1] not in (server.logs / "gateway.log").read_text()
    assert [line for line in heard if "404" not in line] == []  # the photos of this visit are rows alone


async def test_nothing_needs_a_mouse_and_nothing_is_cut_off(
    browser: Browser, server: Product, tenant: Tenant, visit: Visit
) -> None:
    """At 320 pixels nothing scrolls sideways, and Tab alone leads from the door to a sent request."""
    context = await browser.new_context(viewport={"width": 320, "height": 700})
    page = await context.new_page()
    await page.goto(await _link(server, tenant, visit))
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Scope of work").wait_for()
    assert await page.evaluate("document.documentElement.scrollWidth") == 320
    await _tab_to(page, "summary:has-text('Request changes')")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.type("Copper, please")
    await _tab_to(page, "button:has-text('Send the request')")
    await page.keyboard.press("Enter")
    await page.get_by_text("Changes requested").wait_for()


async def test_the_table_is_still_a_table_to_a_screen_reader(
    browser: Browser, server: Product, tenant: Tenant, visit: Visit
) -> None:
    """On a phone lines look like cards, and yet columns and rows keep their roles and names."""
    context = await browser.new_context(**PHONE)
    page = await context.new_page()
    await page.goto(await _link(server, tenant, visit))
    await page.get_by_role("button", name="Open the estimate").click()
    table = page.get_by_role("table")
    await table.wait_for()
    columns = await table.get_by_role("columnheader").all_inner_texts()
    assert columns == ["Description", "Quantity", "Unit price", "Amount"]
    row = table.get_by_role("row", name="Replace gutter")
    assert (await row.get_by_role("cell").all_inner_texts())[1:] == ["24.5 lf", "$11.25", "$275.63"]
    assert await page.get_by_role("heading", level=1).inner_text() == "Estimate"


async def test_an_edit_while_the_page_is_open_is_noticed(
    browser: Browser, server: Product, tenant: Tenant, visit: Visit, service: Database
) -> None:
    """The answer to the old version is refused in words, and the way back shows that a newer one exists."""
    page = await (await browser.new_context(**PHONE)).new_page()
    await page.goto(await _link(server, tenant, visit))
    await page.get_by_role("button", name="Open the estimate").click()
    await page.get_by_label("Your full name").fill("Maria Alvarez")
    await save_next(service, visit)
    await page.get_by_role("button", name="Accept the estimate").click()
    await page.get_by_text("your answer was not recorded").wait_for()
    await page.get_by_role("link", name="Back to the estimate").click()
    await page.get_by_text("A newer version of this estimate exists.").wait_for()


async def _tab_to(page: Page, selector: str) -> None:
    for _ in range(60):
        if await page.evaluate("(wanted) => document.activeElement === wanted", await page.query_selector(selector)):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"{selector} cannot be reached by Tab")
