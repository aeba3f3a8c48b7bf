"""The customer's page in a real browser: with the keyboard alone, on a phone, with and without JavaScript."""

import io
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Browser, Page, Request, expect
from pypdf import PdfReader

from config.settings import Settings
from store.objects.objects import ObjectStore
from store.pool import Database
from tests.browser.conftest import PHONE, browser
from tests.gateway.shares.documents import Visit, offer_options, save_next, store_photos
from tests.gateway.shares.readers import draw, link_of, open_page
from tests.product import Product
from tests.tenants import Tenant

__all__ = ["browser"]
pytestmark = pytest.mark.browser


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
    link = await link_of(server, tenant, visit, passcode="blue door", max_views=1)
    context = await browser.new_context(java_script_enabled=javascript, **PHONE)
    page = await context.new_page()
    heard = await _watched(page)
    await page.goto(link)
    await page.get_by_label("Passcode").fill("blue door")
    await page.get_by_role("button", name="Open the estimate").click()
    await page.get_by_role("heading", name="Scope of work").wait_for()
    assert page.url == link
    await page.get_by_label("Your full name").fill("Maria Alvarez")
    await page.get_by_role("button", name="Accept estimate").click()
    await page.get_by_text("Accepted by Maria Alvarez").wait_for()
    assert await page.get_by_role("button", name="Accept estimate").count() == 0
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
    await page.goto(await link_of(server, tenant, visit))
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Scope of work").wait_for()
    assert await page.evaluate("document.documentElement.scrollWidth") == 320
    await _tab_to(page, "summary:has-text('Request changes')")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.type("Copper, please")
    await _tab_to(page, "button:has-text('Send request')")
    await page.keyboard.press("Enter")
    await page.get_by_text("Changes requested").wait_for()


async def test_the_table_is_still_a_table_to_a_screen_reader(
    browser: Browser, server: Product, tenant: Tenant, visit: Visit
) -> None:
    """On a phone lines look like cards, and yet columns and rows keep their roles and names."""
    context = await browser.new_context(**PHONE)
    page = await context.new_page()
    await page.goto(await link_of(server, tenant, visit))
    await page.get_by_role("button", name="Open the estimate").click()
    table = page.get_by_role("table")
    await table.wait_for()
    columns = await table.get_by_role("columnheader").all_inner_texts()
    assert columns == ["Description", "Qty", "Unit price", "Amount"]
    row = table.get_by_role("row", name="Replace gutter")
    assert (await row.get_by_role("cell").all_inner_texts())[1:] == ["24.5 lf", "$11.25", "$275.63"]
    assert await page.get_by_role("heading", level=1).inner_text() == "Estimate"


async def test_printed_it_is_the_document_without_its_controls(
    browser: Browser, server: Product, tenant: Tenant, visit: Visit
) -> None:
    """Scope, totals and terms are on paper, buttons and forms are not, and an option stands with its lines."""
    async with httpx.AsyncClient(base_url=server.url) as contractor:
        visit = await offer_options(contractor, tenant, visit)
        await contractor.patch("/v1/branding", json={"terms": "Half on acceptance."}, headers=tenant.headers)
    page = await (await browser.new_context()).new_page()
    await open_page(page, await link_of(server, tenant, visit))
    pages = [sheet.extract_text() for sheet in PdfReader(io.BytesIO(await page.pdf())).pages]
    printed = " ".join(" ".join(pages).split())
    wanted = ("Harbor & Pine Builders", "Maria Alvarez", "Aluminum gutter", "$220.00", "Half on acceptance.")
    assert [word for word in wanted if word not in printed] == []
    assert [
        word
        for word in ("Approve or respond", "Accept estimate", "Download", "Review &", "Skip to", "request it")
        if word in printed
    ] == []
    assert [("Other options" in sheet, "Copper gutter" in sheet) for sheet in pages].count((True, True)) == 1


async def test_an_edit_while_the_page_is_open_is_noticed(
    browser: Browser, server: Product, tenant: Tenant, visit: Visit, service: Database
) -> None:
    """The answer to the old version is refused in words, and the way back shows that a newer one exists."""
    page = await (await browser.new_context(**PHONE)).new_page()
    await page.goto(await link_of(server, tenant, visit))
    await page.get_by_role("button", name="Open the estimate").click()
    await page.get_by_label("Your full name").fill("Maria Alvarez")
    await save_next(service, visit)
    await page.get_by_role("button", name="Accept estimate").click()
    await page.get_by_text("your answer was not recorded").wait_for()
    await page.get_by_role("link", name="Back to the estimate").click()
    await page.get_by_text("This estimate was updated.").wait_for()


async def test_a_drawn_signature_is_sent_and_shown(
    browser: Browser, server: Product, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """What was drawn comes back as a drawing; cleared, nothing of it is sent; a slip of the finger is refused."""
    page = await (await browser.new_context(**PHONE)).new_page()
    await open_page(page, await link_of(server, tenant, visit))
    await page.get_by_label("Your full name").fill("Maria Alvarez")
    await draw(page)
    assert (await page.locator("[data-pad] input").input_value()).startswith("M60 120L")
    await page.get_by_role("button", name="Clear the drawing").click()
    assert await page.locator("[data-pad] input").input_value() == ""
    await draw(page)
    await page.get_by_role("button", name="Accept estimate").click()
    await expect(page.get_by_role("img", name="Drawn signature of Maria Alvarez")).to_be_visible()
    kept = await admin.fetchval("SELECT signature FROM share_decisions WHERE estimate_id = $1", visit.estimate["id"])
    assert kept.startswith("M60 120L")


async def test_the_page_asks_nobody_else_and_tells_nobody_where_it_is(
    browser: Browser,
    server: Product,
    tenant: Tenant,
    visit: Visit,
    objects: ObjectStore,
    settings: Settings,
) -> None:
    """Every request goes to our origin or the store, and no request to the store carries the link."""
    await store_photos(objects, tenant, visit)
    link = await link_of(server, tenant, visit)
    page = await (await browser.new_context(**PHONE)).new_page()
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request))  # noqa: PLW0108 - Playwright marks what it is given
    await open_page(page, link)
    await page.locator("a[data-photo] img").evaluate("(photo) => photo.decode()")
    await page.locator("a[data-photo]").click()
    await page.locator("dialog.large img").evaluate("(photo) => photo.decode()")
    origins = {f"{parts.scheme}://{parts.netloc}" for parts in (urlsplit(request.url) for request in requests)}
    assert origins == {server.url, settings.s3_endpoint_url}
    token = link.rsplit("/", 1)[1]
    for request in requests:
        # A module names the one that imported it, within /static; nothing names the page.
        referer = (await request.all_headers()).get("referer", "")
        assert token not in referer
        if not request.url.startswith(server.url):
            assert referer == ""
            assert token not in request.url


async def _tab_to(page: Page, selector: str) -> None:
    for _ in range(60):
        if await page.evaluate("(wanted) => document.activeElement === wanted", await page.query_selector(selector)):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"{selector} cannot be reached by Tab")
