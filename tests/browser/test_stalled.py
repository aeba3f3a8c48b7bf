"""An estimate that does not move says so on the page, within ten seconds, and goes on by itself."""

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.people.console import Console
from tests.browser.people.person import Person

if TYPE_CHECKING:
    import asyncpg

pytestmark = pytest.mark.browser


async def test_a_stopped_queue_is_shown_while_it_is_stopped(
    contractor: Person, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """The page is live and silent; it says why, and the estimate comes once the queue goes on."""
    console = Console(contractor)
    await console.new_visit("Deck repair")
    await console.write_notes("Paint 640 sq ft of interior walls.")
    await admin.execute("SELECT scopekit.pause_queue('estimate')")
    try:
        await console.ask()
        await expect(console.page.locator("#run-title")).to_have_text("Paused", timeout=10_000)
        await expect(console.page.locator("#run-detail")).to_contain_text("starts by itself")
        await console.person.shoot("stalled")
    finally:
        await admin.execute("SELECT scopekit.resume_queue('estimate')")
    await console.see_estimate()
