"""What a person sees when something is refused."""

from uuid import uuid4

import pytest
from playwright.async_api import Response, expect

from tests.browser.conftest import OpenPerson
from tests.browser.people.console import RUN_MS, Console
from tests.browser.people.person import Person
from tests.product import Product

pytestmark = pytest.mark.browser


async def test_an_error_shows_what_happened_and_its_reference(contractor: Person) -> None:
    """A visit that is not there is said in words, with the correlation id of that very answer."""
    contractor.expects_refusals = True
    page = contractor.page
    missing = str(uuid4())

    answered: list[str] = []  # the page may ask more than once; what it shows belongs to one of the answers

    def note(response: Response) -> None:
        if response.url.endswith(f"/v1/visits/{missing}"):
            answered.append(response.headers["x-correlation-id"])

    page.on("response", note)
    await page.evaluate("id => { location.hash = `visit=${id}`; }", missing)
    box = page.get_by_role("alert")
    await expect(box.get_by_role("heading")).to_have_text("Couldn't open the visit: Not found")
    assert await box.locator("code").inner_text() in answered
    await contractor.shoot("problem")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await box.get_by_role("button", name="Copy").click()
    await expect(box.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("() => navigator.clipboard.readText()") == await box.locator("code").inner_text()
    await box.get_by_role("button", name="Dismiss").click()
    await expect(box).to_have_count(0)


async def test_a_run_that_failed_shows_the_id_that_finds_it(contractor: Person) -> None:
    """The request's own id, which the worker's log, its report and the database carry too; also after a reload."""
    page = contractor.page
    console = Console(contractor)
    await console.new_visit("Nothing to do here")
    await console.write_notes("Thank you very much.")
    async with page.expect_response(lambda answer: answer.url.endswith("/estimate") and answer.status == 202) as asked:
        await console.ask()
    sent = await (await asked.value).header_value("x-correlation-id")
    run = page.get_by_role("region", name="Couldn't make the estimate")
    await expect(run.locator("code")).to_have_text(str(sent), timeout=RUN_MS)
    await contractor.shoot("failed-run")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await run.get_by_role("button", name="Copy").click()
    await expect(run.get_by_role("button", name="Copied")).to_be_visible()
    await page.reload()
    await expect(run.locator("code")).to_have_text(str(sent))


async def test_a_server_out_of_reach_is_said_plainly(contractor: Person) -> None:
    """Without a connection the page says so, and the notes are saved when it is back."""
    contractor.expects_refusals = True
    console = Console(contractor)
    await console.new_visit("Out of reach")
    await contractor.page.context.set_offline(True)
    await contractor.page.get_by_role("textbox", name="Notes").fill("Fence, 60 lf")
    await expect(contractor.page.locator("#notes-state")).to_contain_text("Not saved yet")
    await contractor.page.context.set_offline(False)
    await expect(contractor.page.locator("#notes-state")).to_have_text("Saved")


async def test_somebody_who_is_not_signed_in_is_told_how(open_person: OpenPerson, server: Product) -> None:
    """Without a session, and away from a developer's machine, the page asks to sign in and shows nothing else."""
    stranger = await open_person()
    stranger.expects_refusals = True
    await stranger.page.goto(server.url)
    await expect(stranger.page.get_by_role("heading", name="Sign in")).to_be_visible()
    await expect(stranger.page.get_by_role("navigation", name="Visits")).to_be_hidden()


async def test_text_from_anywhere_is_only_ever_text(contractor: Person) -> None:
    """Markup in a title or a file name stays letters on the page."""
    console = Console(contractor)
    title = '<img src=x onerror="document.title=1"><b>Bold'
    await console.new_visit(title)
    await expect(contractor.page.get_by_role("heading", level=1)).to_have_text(title)
    await expect(contractor.page.locator("#visit-title b, #visit-list b")).to_have_count(0)
