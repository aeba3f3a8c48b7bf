"""A page that is reloaded in the middle of a run."""

from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.async_api import expect

from tests.browser.people.console import Console
from tests.browser.people.person import Person
from tests.browser.people.worker import held_while_listening

if TYPE_CHECKING:
    import asyncpg

pytestmark = pytest.mark.browser


async def test_a_reload_in_the_middle_of_a_run_misses_nothing(
    contractor: Person, admin: "asyncpg.Connection[asyncpg.Record]", api: httpx.AsyncClient, captured: dict[str, Path]
) -> None:
    """After a reload the page holds every event from the first to the last, in one unbroken range."""
    console = Console(contractor)
    await console.new_visit("Reloaded in the middle")
    await console.add_files(captured["voice"])
    await console.see_stored("Walkthrough.webm")
    async with held_while_listening(admin):
        await console.ask()
        await expect(console.stage("transcribe")).to_have_attribute("data-status", "running")
        await contractor.page.reload()
        await expect(contractor.page.get_by_role("heading", name="Making your estimate")).to_be_visible()
        await expect(console.stage("gather")).to_have_attribute("data-status", "completed")
        await expect(console.stage("transcribe")).to_have_attribute("data-status", "running")
    await console.see_estimate()
    events = (await api.get(f"/v1/visits/{console.visit_id}/events")).json()["events"]
    of_run = [event["seq"] for event in events if event["type"].startswith(("job.", "step.", "line."))]
    seen = contractor.page.locator("#connection")
    await expect(seen).to_have_attribute("data-seen", f"1-{of_run[-1]}")
    lines = [event for event in events if event["type"] == "line.drafted"]
    await expect(console.estimate.locator(".line")).to_have_count(len(lines))


async def test_a_finished_estimate_is_there_after_a_reload(contractor: Person) -> None:
    """The address names the visit, so a reload comes back to it with notes, estimate and nothing running."""
    console = Console(contractor)
    await console.new_visit("Come back later")
    await console.write_notes("Install 2 GFCI outlets.")
    await console.ask()
    await console.see_estimate()
    await contractor.page.reload()
    await console.see_estimate()
    await expect(console.line("GFCI outlet")).to_contain_text("$290.00")
    await expect(contractor.page.get_by_role("textbox", name="Notes")).to_have_value("Install 2 GFCI outlets.")
    await expect(contractor.page.locator("#run")).to_be_hidden()


async def test_a_run_can_be_stopped_and_started_again(
    contractor: Person, admin: "asyncpg.Connection[asyncpg.Record]", captured: dict[str, Path]
) -> None:
    """Stop asks once more, then says what happened; trying again makes the estimate."""
    console = Console(contractor)
    await console.new_visit("Second thoughts")
    await console.add_files(captured["voice"])
    await console.see_stored("Walkthrough.webm")
    async with held_while_listening(admin):
        await console.ask()
        await expect(console.stage("transcribe")).to_have_attribute("data-status", "running")
        stop = contractor.page.locator("#run-cancel")
        await stop.click()
        await expect(stop).to_have_text("Stop the estimate?")
        await stop.click()
        await expect(contractor.page.get_by_role("heading", name="Stopping…")).to_be_visible()
    await expect(contractor.page.get_by_role("heading", name="You stopped this estimate")).to_be_visible()
    await contractor.page.get_by_role("button", name="Try again").click()
    await console.see_estimate()


async def test_a_new_version_takes_the_old_link_off_the_page(contractor: Person) -> None:
    """A link to the version before can no longer be accepted: it is not there to copy, and the page says why."""
    console = Console(contractor)
    await console.new_visit("Twice", customer="Maria Lopez")
    await console.write_notes("Install 2 GFCI outlets.")
    await console.ask()
    await console.see_estimate()
    await expect(contractor.page.locator("#share-form").get_by_label("Customer")).to_have_value("Maria Lopez")
    await console.make_link("Maria Lopez")
    await contractor.page.get_by_role("button", name="Re-run estimate").click()
    await expect(console.estimate).to_contain_text("Version 2")
    await expect(contractor.page.locator("#share-link")).to_be_hidden()
    await expect(contractor.page.get_by_text("Links to earlier versions")).to_be_visible()
