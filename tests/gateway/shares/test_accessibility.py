"""The customer's pages under axe-core: no violation, in any state, on a phone and on a desktop."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from store.objects.objects import ObjectStore
from store.pool import Database
from tests.browser.conftest import DESKTOP, PHONE, browser
from tests.gateway.shares.documents import Visit, offer_options, save_next, store_photos
from tests.gateway.shares.readers import draw, link_of, open_page
from tests.product import Product
from tests.support.npm import assert_pinned, install
from tests.tenants import Tenant

__all__ = ["browser"]
pytestmark = pytest.mark.browser

HERE = Path(__file__).parent / "axe"
DEVICES = {"desktop": DESKTOP, "phone": PHONE}


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return axe-core's script, of the version that is pinned."""
    directory = install(HERE, tmp_path_factory.mktemp("axe"))
    return (directory / "node_modules" / "axe-core" / "axe.min.js").read_text()


async def assert_clean(page: Page, axe: str) -> None:
    """Run axe by the debugger, past the page's own policy, and expect nothing to complain about."""
    await page.evaluate(f"{axe};0")
    result = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [(found["id"], [node["html"] for node in found["nodes"]]) for found in result["violations"]] == []
    assert len(result["passes"]) > 5


def test_axe_is_pinned() -> None:
    """By version and hash, and from nowhere in particular."""
    assert_pinned(HERE)


@pytest.mark.parametrize("device", DEVICES)
async def test_every_state_of_the_page_is_clean(
    browser: Browser,
    server: Product,
    axe: str,
    tenant: Tenant,
    visit: Visit,
    objects: ObjectStore,
    admin: Any,
    device: str,
) -> None:
    """Door, passcode, wrong passcode, document with options, being signed, accepted and expired."""
    await store_photos(objects, tenant, visit)
    async with httpx.AsyncClient(base_url=server.url) as contractor:
        visit = await offer_options(contractor, tenant, visit)
    page = await (await browser.new_context(**DEVICES[device])).new_page()
    await page.goto(await link_of(server, tenant, visit))
    await assert_clean(page, axe)
    link = await link_of(server, tenant, visit, passcode="blue door")
    await page.goto(link)
    await assert_clean(page, axe)
    await page.get_by_label("Passcode").fill("wrong")
    await page.get_by_role("button", name="Open the estimate").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await assert_clean(page, axe)
    await open_page(page, link, passcode="blue door")
    await page.get_by_label("Your full name").fill("Maria Alvarez")
    await draw(page)
    await assert_clean(page, axe)
    await page.get_by_role("button", name="Accept estimate").click()
    await expect(page.get_by_role("heading", name="Certificate of acceptance")).to_be_visible()
    await assert_clean(page, axe)
    await admin.execute("UPDATE shares SET expires_at = now() WHERE visit_id = $1", visit.id)
    await page.goto(link)
    await expect(page.get_by_role("heading", name="This link cannot be opened")).to_be_visible()
    await assert_clean(page, axe)


@pytest.mark.parametrize("answer", ["Request changes", "Decline"])
async def test_other_answers_are_clean(
    browser: Browser, server: Product, axe: str, tenant: Tenant, visit: Visit, answer: str
) -> None:
    """Their forms while open, and the page after them."""
    page = await (await browser.new_context(**PHONE)).new_page()
    await open_page(page, await link_of(server, tenant, visit))
    await page.get_by_text(answer, exact=True).click()
    await assert_clean(page, axe)
    form = page.locator("details[open]")
    await form.locator("textarea").fill("Copper, please")
    await form.locator("button[type=submit]").click()
    await expect(page.get_by_role("status", name="Response")).to_be_visible()
    await assert_clean(page, axe)


async def test_news_while_reading_is_clean_and_read_out(
    browser: Browser, server: Product, axe: str, tenant: Tenant, visit: Visit, service: Database
) -> None:
    """A newer version shows in a live region, takes the answer's form away and leads to the page as it is now."""
    page = await (await browser.new_context(**PHONE)).new_page()
    await page.clock.install()
    await open_page(page, await link_of(server, tenant, visit))
    await expect(page.locator("#news")).to_be_empty()
    await save_next(service, visit)
    await _until_it_says(page, "This estimate was updated.")
    await expect(page.get_by_role("button", name="Accept estimate")).to_be_hidden()
    await assert_clean(page, axe)
    await page.get_by_role("link", name="Show the latest").click()
    await expect(page.get_by_text("can still be read, but no longer accepted")).to_be_visible()


async def test_an_answer_of_another_recipient_is_told(
    browser: Browser, server: Product, tenant: Tenant, visit: Visit
) -> None:
    """Both read; the first answers; the second's page says so."""
    first, second = [await (await browser.new_context(**PHONE)).new_page() for _ in range(2)]
    await second.clock.install()
    for page in (first, second):
        await open_page(page, await link_of(server, tenant, visit))
    await first.get_by_label("Your full name").fill("Maria Alvarez")
    await first.get_by_role("button", name="Accept estimate").click()
    await expect(first.get_by_role("heading", name="Certificate of acceptance")).to_be_visible()
    await _until_it_says(second, "A response to this estimate was recorded.")


async def test_a_page_whose_session_ended_stops_asking(
    browser: Browser, server: Product, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """It says so once, and no request follows however long it stays open."""
    page = await (await browser.new_context(**PHONE)).new_page()
    await page.clock.install()
    await open_page(page, await link_of(server, tenant, visit))
    await admin.execute("UPDATE shares SET revoked_at = now() WHERE visit_id = $1", visit.id)
    await _until_it_says(page, "This page timed out.")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.clock.fast_forward(3_600_000)
    assert asked == []


async def _until_it_says(page: Page, words: str) -> None:
    """Let the page's own clock run to its first question; the answer has the news."""
    async with page.expect_response(lambda response: response.url.endswith("/news")):
        await page.clock.run_for(10_000)
    await expect(page.get_by_text(words)).to_be_visible()
