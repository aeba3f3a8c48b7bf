"""An operator at the page: a dead job is retried there and completes; the page is clean on phone and desktop."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import expect

from store.queue.dead_letters import BATCH
from tests.browser.conftest import DESKTOP, PHONE, OpenPerson, sign_in_at
from tests.gateway.ops.conftest import operator
from tests.gateway.ops.letters import bury
from tests.gateway.shares.test_accessibility import assert_clean, axe
from tests.product import Product
from tests.tenants import Tenant

__all__ = ["axe", "operator"]
pytestmark = pytest.mark.browser

DEVICES = {"desktop": DESKTOP, "phone": PHONE}


async def test_a_dead_job_is_retried_on_the_page_and_completes(
    open_person: OpenPerson, server: Product, admin: Any, tenant: Tenant, operator: Tenant
) -> None:
    """Seen live, asked why, queued again, done by the worker; what was done stands on the page with its reason."""
    person = await open_person()
    page = person.page
    await sign_in_at(person, f"{server.url}/ops", operator)
    await expect(page.get_by_role("heading", name="Operations")).to_be_visible()
    await expect(page.locator("#connection")).to_have_text("Live")
    letter, job_id = await bury(admin, tenant, code="browser_test", error="The model went away.")
    cause = page.locator(".cause", has_text="browser_test")
    await expect(cause).to_contain_text("The model went away.")
    await cause.get_by_text("Each of them").click()
    await cause.locator(f"[data-letter='{letter}']").get_by_role("button", name="Retry").click()
    await page.get_by_label("Why").fill("it is back")
    await page.get_by_role("button", name="Confirm", exact=True).click()
    await expect(page.locator("#news")).to_have_text("Queued again.")
    await expect(cause).to_have_count(0)
    await expect(page.locator("#actions")).to_contain_text("it is back")
    await _until_completed(admin, job_id)
    await expect(page.locator("#figures")).to_contain_text("Done in the last hour")


async def test_a_cause_of_many_letters_is_discarded_by_one_click(
    open_person: OpenPerson, server: Product, admin: Any, tenant: Tenant, operator: Tenant
) -> None:
    """More than one transaction takes: the page goes on until all that it showed are done."""
    person = await open_person()
    page = person.page
    letter, _ = await bury(admin, tenant, code="many_test")
    await admin.execute(
        "INSERT INTO ai_jobs_dlq (original_job_id, tenant_id, visit_id, job_type, last_error, error_code, attempts) "
        "SELECT gen_random_uuid(), tenant_id, visit_id, job_type, last_error, error_code, 3 "
        "FROM ai_jobs_dlq, generate_series(1, $2::integer) WHERE id = $1",
        *(letter, BATCH),
    )
    await sign_in_at(person, f"{server.url}/ops", operator)
    cause = page.locator(".cause", has_text="many_test")
    await cause.get_by_role("button", name="Discard all").click()
    await page.get_by_role("button", name="Confirm", exact=True).click()
    await expect(page.locator("#news")).to_have_text(f"{BATCH + 1} discarded.", timeout=60_000)
    await expect(cause).to_have_count(0)
    await admin.execute("DELETE FROM ai_jobs_dlq WHERE error_code = 'many_test'")


async def test_a_flag_is_switched_on_the_page(
    open_person: OpenPerson, server: Product, admin: Any, tenant: Tenant, operator: Tenant
) -> None:
    """The switch shows what the database has; leaving the question changes nothing."""
    person = await open_person()
    page = person.page
    await admin.execute("UPDATE tenants SET name = ' Aardvark & Sons' WHERE id = $1", tenant.id)
    await sign_in_at(person, f"{server.url}/ops", operator)
    switch = page.locator(f"[data-tenant='{tenant.id}'][data-flag='visits.ws_progress_enabled']")
    await switch.click()
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await expect(switch).to_have_attribute("aria-checked", "true")
    await switch.click()
    await page.get_by_label("Why").fill("noisy")
    await page.get_by_role("button", name="Confirm", exact=True).click()
    await expect(switch).to_have_attribute("aria-checked", "false")
    await page.get_by_text("History", exact=True).click()
    await expect(page.locator("#flags")).to_contain_text("noisy")


@pytest.mark.parametrize("device", DEVICES)
async def test_the_page_is_clean_and_fits(
    open_person: OpenPerson,
    server: Product,
    axe: str,
    admin: Any,
    tenant: Tenant,
    operator: Tenant,
    device: str,
) -> None:
    """Axe has no complaint, with everything open and while asking; nothing is wider than the screen."""
    person = await open_person(**DEVICES[device])
    page = person.page
    letter, _ = await bury(admin, tenant, code="clean_test")
    await admin.execute("INSERT INTO queue_control (name, paused, reason) VALUES ('clean_test', true, 'for a picture')")
    await sign_in_at(person, f"{server.url}/ops", operator)
    await expect(page.locator("#connection")).to_have_text("Live")
    for summary in await page.locator("summary").all():
        await summary.click()
    await assert_clean(page, axe)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await person.shoot(f"ops-{device}", full=True)
    await page.get_by_role("button", name="Resume").first.click()
    await expect(page.get_by_label("Why")).to_be_visible()
    await assert_clean(page, axe)
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await admin.execute("DELETE FROM queue_control WHERE name = 'clean_test'")
    await admin.execute("DELETE FROM ai_jobs_dlq WHERE id = $1", letter)


async def test_the_way_in_is_clean_and_leads_to_the_sign_in_page(
    open_person: OpenPerson, server: Product, axe: str
) -> None:
    """Which is clean too."""
    person = await open_person()
    person.expects_refusals = True
    page = person.page
    await page.goto(f"{server.url}/ops")
    await assert_clean(page, axe)
    await page.get_by_role("link", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await assert_clean(page, axe)


async def _until_completed(admin: Any, job_id: Any) -> None:
    """Wait for the job's last event; it may have come already."""
    changed = asyncio.Event()

    def hear(*_: Any) -> None:
        changed.set()

    await admin.add_listener("processing_events", hear)
    try:
        async with asyncio.timeout(60):
            while await admin.fetchval("SELECT status FROM ai_jobs WHERE id = $1", job_id) != "completed":
                await changed.wait()
                changed.clear()
    finally:
        await admin.remove_listener("processing_events", hear)
