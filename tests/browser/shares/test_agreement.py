"""Customer and contractor come to terms: a question, an answer, an option picked, a decision by phone."""

import httpx
import pytest
from playwright.async_api import Browser, expect

from store.pool import Database
from tests.browser.people.person import Person
from tests.browser.test_editing import opened
from tests.gateway.shares.documents import Visit, make_visit, offer_options
from tests.tenants import Tenant

pytestmark = pytest.mark.browser


@pytest.fixture
async def visit(service: Database, tenant: Tenant, api: httpx.AsyncClient) -> Visit:
    """Make a visit whose estimate offers two options."""
    return await offer_options(api, tenant, await make_visit(service, tenant))


async def test_a_question_is_answered_and_an_option_accepted(
    contractor: Person, visit: Visit, browser: Browser
) -> None:
    """Neither reloads a page: the contractor hears of the question, the customer of the answer."""
    contractor.expects_refusals = True  # the visit's media have no bytes
    page = contractor.page
    await opened(contractor, str(visit.id))
    await page.get_by_role("button", name="Create link").click()
    link = await page.get_by_label("Link for the customer").input_value()
    context = await browser.new_context(viewport={"width": 390, "height": 844})
    try:
        customer = await context.new_page()
        await customer.goto(link)
        await customer.get_by_role("button", name="Open the estimate").click()
        await customer.get_by_label("a question").fill("Is copper worth it?")
        await customer.get_by_role("button", name="Send question").click()
        await expect(customer.locator("#thread")).to_contain_text("Is copper worth it?")
        await expect(page.locator("#share-news-text")).to_contain_text("asked a question")
        await page.get_by_label("Your answer").fill("It lasts twice as long.")
        await page.get_by_role("button", name="Send answer").click()
        await contractor.shoot("thread", full=True)
        await expect(customer.locator("#thread")).to_contain_text("It lasts twice as long.", timeout=30_000)
        await customer.get_by_role("radio", name="Best").click()
        await expect(customer.get_by_role("heading", name="Scope of work, option “Best”")).to_be_visible()
        await customer.screenshot(path=contractor.shots / "options-phone.png", full_page=True)
        await customer.get_by_label("Your full name").fill("Maria Alvarez")
        await customer.get_by_role("button", name="Accept estimate").click()
        await expect(customer.get_by_role("heading", name="Certificate of acceptance")).to_be_visible()
        await expect(customer.locator(".signed")).to_contain_text("$462.00")
    finally:
        await context.close()
    await expect(page.locator("#share-list")).to_contain_text("Best")


async def test_a_decision_by_phone_is_recorded_on_the_link(contractor: Person, visit: Visit) -> None:
    """The contractor picks what the customer said, and the list says that it was by phone."""
    contractor.expects_refusals = True
    page = contractor.page
    await opened(contractor, str(visit.id))
    await page.get_by_role("button", name="Create link").click()
    row = page.locator("#share-list .share").first
    await row.get_by_text("Decided by phone").click()
    await row.get_by_label("Option").select_option("Best")
    await contractor.shoot("phone-decision", full=True)
    await row.get_by_role("button", name="Record decision").click()
    await expect(row).to_contain_text("by phone")
    await expect(row.locator(".badge")).to_have_text("Accepted")
