"""The main job: from a site visit to a customer's yes."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Locator, expect

from tests.browser.conftest import OpenPerson
from tests.browser.people import pictures
from tests.browser.people.console import STEPS, Console
from tests.browser.people.person import Person
from tests.browser.people.worker import held_while_listening
from tests.tenants import Tenant

if TYPE_CHECKING:
    import asyncpg

pytestmark = pytest.mark.browser

NOTES = "Paint 640 sq ft of interior walls, two coats.\nOne custom walnut mantel."


async def test_a_visit_becomes_an_estimate_that_the_customer_accepts(
    contractor: Person,
    open_person: OpenPerson,
    tenant: Tenant,
    admin: "asyncpg.Connection[asyncpg.Record]",
    captured: dict[str, Path],
) -> None:
    """Photos, a voice note and notes go in; a priced estimate with evidence comes out, live; the customer accepts."""
    await admin.execute("UPDATE tenants SET name = 'Harbor & Pine Builders' WHERE id = $1", tenant.id)
    await contractor.page.reload()
    console = Console(contractor)
    await console.new_visit("Hallway and kitchen refresh", customer="Maria Lopez", address="2207 Kinney Ave, Austin")
    await _capture(console, captured)
    await _watch_the_estimate_arrive(console, admin)
    await _read_the_estimate(console)
    await _follow_the_evidence(console)
    await _customer_accepts(console, await open_person())


async def _capture(console: Console, captured: dict[str, Path]) -> None:
    await expect(console.page.get_by_role("button", name="Make estimate")).to_be_disabled()
    await expect(console.page.get_by_text("Add a photo, a voice note or notes first.")).to_be_visible()
    await console.add_files(*captured.values())
    await console.see_stored("Hallway wall.jpg", "IMG_2201.heic", "Walkthrough.webm")
    for photo in ("Hallway wall.jpg", "IMG_2201.heic"):  # Chromium shows no HEIC: this is the server's JPEG
        await pictures.see_picture(console.card(photo).locator("img"))
    await console.label("Hallway wall.jpg", "Patch 12 sq ft of drywall")
    await console.write_notes(NOTES)
    await expect(console.page.get_by_text("From 2 photos, 1 voice note, your notes.")).to_be_visible()
    await console.person.shoot("1-captured")


async def _watch_the_estimate_arrive(console: Console, admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    async with held_while_listening(admin):
        await console.ask()
        await expect(console.stage("transcribe")).to_have_attribute("data-status", "running")
        await expect(console.page.locator("#connection")).to_have_text("Live")
        await expect(console.page.get_by_role("timer")).to_have_text("0:01")
        await console.person.shoot("2-running")
    await console.see_estimate()
    seen = await console.stages_seen()
    stages = [note for note in seen if not note.startswith("line ")]
    assert [note for note in stages if note.endswith(" completed")] == [f"{step} completed" for step in STEPS]
    for step in STEPS:
        assert stages.index(f"{step} running") < stages.index(f"{step} completed")
    drafted = [index for index, note in enumerate(seen) if note.startswith("line ")]
    assert drafted
    assert max(drafted) < seen.index("price running"), "lines appear while they are drafted, not at the end"


async def _read_the_estimate(console: Console) -> None:
    """Each source gave a line; prices are the tenant's; what has none says so; what nobody looked at is said."""
    outlets = console.line("GFCI outlet")
    await expect(outlets).to_contain_text("3 \N{MULTIPLICATION SIGN} $145.00")
    await expect(outlets.locator(".line-amount")).to_have_text("$435.00")
    patch = console.line("Patch drywall")
    await expect(patch.locator(".line-amount")).to_have_text("$54.00")
    paint = console.line("Paint interior walls")
    await expect(paint).to_contain_text("640 sq ft")
    await expect(paint.locator(".line-amount")).to_have_text("$1,344.00")
    await expect(console.line("walnut mantel").locator(".line-amount")).to_have_text("No price")
    await expect(console.estimate.get_by_role("complementary")).to_contain_text("2 photos were not analysed")
    await paint.get_by_text("Why").click()
    await expect(paint).to_contain_text("Interior wall paint, two coats")
    await paint.get_by_text("Why").click()
    await console.person.shoot("3-estimate", full=True)
    await pictures.keep_for_readme(console.page)


async def _follow_the_evidence(console: Console) -> None:
    await console.estimate.locator('.chip[data-source="label"]').first.click()
    await expect(console.evidence).to_be_visible()
    await pictures.see_picture(console.evidence.get_by_role("img"))
    await console.person.shoot("4-photo")
    await console.page.keyboard.press("Escape")
    await expect(console.evidence).to_be_hidden()

    chip = console.estimate.locator('.chip[data-source="audio"]').last
    minutes, _, seconds = (await chip.inner_text()).split()[0].partition(":")
    await chip.click()
    await expect(console.evidence.get_by_role("blockquote")).not_to_be_empty()
    second = int(minutes) * 60 + int(seconds)
    assert second >= 1, "the last thing said is not at the start"
    assert await console.plays_from(second) < second + 5
    await console.person.shoot("5-voice")
    await console.evidence.get_by_role("button", name="Close").click()

    await console.estimate.locator('.chip[data-source="notes"]').first.click()
    await expect(console.evidence.locator("mark")).to_contain_text("640 sq ft")
    await console.page.keyboard.press("Escape")


async def _customer_accepts(console: Console, customer: Person) -> None:
    link = await console.make_link("Maria Lopez")
    news = console.page.locator("#share-news")
    share = console.page.locator("#share-list > .share")
    await expect(share).to_contain_text("Sent, not opened yet")
    await console.person.shoot("6-link", full=True)

    await customer.page.goto(link)
    await expect(customer.page.get_by_text("$")).to_have_count(0)  # nothing is told to a preview
    await customer.page.get_by_role("button", name="Open the estimate").click()
    await expect(customer.page.get_by_role("heading", level=1, name="Estimate")).to_be_visible()
    await expect(customer.page.locator("#lines")).to_contain_text("$435.00")
    await customer.shoot("7-customer", full=True)
    await expect(news).to_have_text("Maria Lopez opened the estimate.")

    await customer.page.get_by_label("Your full name").fill("Maria Lopez")
    await customer.page.get_by_role("button", name="Accept estimate").click()
    await expect(customer.page.get_by_role("status", name="Response")).to_contain_text("Accepted by Maria Lopez")
    await expect(news).to_have_text("Maria Lopez accepted the estimate.")
    await expect(share).to_contain_text("Accepted")
    await console.page.locator("#share").scroll_into_view_if_needed()
    await console.person.shoot("8-accepted")
    await customer.shoot("9-customer-accepted")
    await console.page.get_by_text("Activity").click()
    story = console.page.get_by_role("group").filter(has_text="Activity").locator(".timeline")
    for told in ("Opened", "Accepted"):
        await expect(story.get_by_role("listitem").filter(has_text=told)).to_contain_text("from 127.0.0.0/24")
    await story.scroll_into_view_if_needed()
    await console.person.shoot("10-story")
    await _revoke(share)


async def _revoke(share: Locator) -> None:
    """An answered link that is revoked says so, and offers nothing that it can no longer do."""
    revoke = share.get_by_role("button", name="Revoke")
    await revoke.click()
    await share.get_by_role("button", name="Revoke this link?").click()
    await expect(share.locator(".badge")).to_have_text("Revoked")
    await expect(share).to_contain_text("accepted")
    await expect(revoke).to_have_count(0)
