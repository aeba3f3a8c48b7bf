"""Editing the estimate on the page: live totals that the server agrees with, versions, and two people at once."""

from uuid import uuid4

import httpx
import pytest
from playwright.async_api import Locator, expect

from store.pool import Database
from tests.browser.conftest import PHONE, OpenPerson, sign_in
from tests.browser.people.console import Console
from tests.browser.people.person import Person
from tests.gateway.shares.documents import make_visit
from tests.product import Product
from tests.tenants import Tenant

pytestmark = pytest.mark.browser


@pytest.fixture
async def visit_id(service: Database, tenant: Tenant) -> str:
    """Make a visit whose estimate has a priced and an unpriced line."""
    return str((await make_visit(service, tenant)).id)


async def test_an_estimate_is_edited_with_live_totals(
    contractor: Person, visit_id: str, api: httpx.AsyncClient
) -> None:
    """Lines are changed, added, moved and removed; what the page reckons is what the server saves."""
    page = contractor.page
    contractor.expects_refusals = True  # the visit's media have no bytes
    console = await opened(contractor, visit_id)
    await page.get_by_role("button", name="Edit", exact=True).last.click()
    lines = page.locator(".edit-line")
    await expect(lines).to_have_count(2)
    await lines.nth(0).get_by_label("Qty").fill("1,000.5")
    await lines.nth(1).get_by_label("Unit price").fill("12.35")
    await lines.nth(1).get_by_label("Save to my price book").check()
    await page.get_by_role("button", name="Add a line").click()
    await lines.nth(2).get_by_label("Description").fill("Haul away debris")
    await lines.nth(2).get_by_label("Unit price").fill("90")
    await lines.nth(2).get_by_label("Move up").click()
    await page.get_by_label("Markup (%)").fill("12.5")
    await page.get_by_label("Discount in").select_option("%")
    await page.get_by_label("Discount", exact=True).fill("5")
    await page.get_by_label("Options for the customer").select_option("Good, Better")
    await lines.nth(1).get_by_label("Include in").select_option("Only in “Better”")
    await contractor.shoot("edit", full=True)
    reckoned = await page.locator("#edit-form .grand dd").inner_text()
    await page.get_by_role("button", name="Save changes").click()
    await expect(console.estimate.locator(".estimate-total")).to_have_text(reckoned)
    saved = (await api.get(f"/v1/visits/{visit_id}/estimate")).json()
    assert [line["description"] for line in saved["lines"]][1] == "Haul away debris"
    assert (saved["version"], saved["chosen_option"], saved["discount_rate"]) == (2, "Good", "0.05")
    learned = (await api.get("/v1/price-items", params={"q": "window seat"})).json()["price_items"]
    assert [item["unit_price"] for item in learned] == ["12.35"]
    await page.get_by_text("2 versions").click()
    await page.get_by_role("button", name="What changed").click()
    await expect(page.locator("#evidence")).to_contain_text("Haul away debris")
    await contractor.shoot("versions")


async def test_an_item_that_may_be_meant_is_taken_by_one_press(
    contractor: Person, visit_id: str, service: Database, api: httpx.AsyncClient
) -> None:
    """A line that fits several items has no price and offers them; the one that is pressed gives unit and price."""
    page = contractor.page
    contractor.expects_refusals = True
    choices = [
        {"price_item_id": str(uuid4()), "name": name, "unit": "cu yd", "unit_price": price}
        for name, price in (("Black mulch, spread", "95.00"), ("Brown mulch, spread", "90.00"))
    ]
    async with service.connection() as conn:
        await conn.execute(
            "UPDATE estimate_lines l SET match = $2::jsonb, needs_review = true, review_reasons = $3 "
            "FROM estimates e WHERE e.id = l.estimate_id AND e.visit_id = $1::uuid AND l.unit_price IS NULL",
            visit_id,
            {"name": "", "score": 0.6, "choices": choices},
            ["no price: “Black mulch, spread” and “Brown mulch, spread” fit alike"],
        )
    await opened(contractor, visit_id)
    await page.get_by_role("button", name="Edit", exact=True).last.click()
    line = page.locator(".edit-line").nth(1)
    await contractor.shoot("edit-choices", full=True)
    await line.get_by_role("button", name="Brown mulch, spread").click()
    await expect(line.get_by_label("Unit price")).to_have_value("90.00")
    await expect(line.get_by_label("Unit", exact=True)).to_have_value("cu yd")
    await page.get_by_role("button", name="Save changes").click()
    await expect(page.locator(".edit-line")).to_have_count(0)
    saved = (await api.get(f"/v1/visits/{visit_id}/estimate")).json()["lines"][1]
    assert (saved["unit"], saved["unit_price"]) == ("cu yd", "90.00")


async def test_what_cannot_be_read_is_refused_at_its_field(
    contractor: Person, visit_id: str, api: httpx.AsyncClient
) -> None:
    """Nothing is sent and nothing becomes 0: the field says what it takes, and the total waits."""
    page = contractor.page
    contractor.expects_refusals = True
    console = await opened(contractor, visit_id)
    await page.get_by_role("button", name="Edit", exact=True).last.click()
    price = page.locator(".edit-line").nth(1).get_by_label("Unit price")
    await price.fill("1,5")
    await page.get_by_label("Tax (%)").fill("8,25")
    await expect(page.locator("#edit-form .grand dd")).to_have_text("\N{EN DASH}")
    await page.get_by_role("button", name="Save changes").click()
    faults = page.locator(".edit-faults")
    await expect(faults).to_contain_text("Line 2: price Enter an amount such as 285 or 1,250.50.")
    await expect(faults).to_contain_text("Tax Enter a percentage such as 8.25.")
    await expect(price).to_be_focused()
    await contractor.shoot("edit-faults", full=True)
    assert (await api.get(f"/v1/visits/{visit_id}/estimate")).json()["version"] == 1
    await price.fill("$285.00")
    await page.get_by_label("Tax (%)").fill("8.25%")
    await page.get_by_label("Discount", exact=True).fill("10%")
    await page.locator(".edit-line").nth(0).get_by_label("Qty").fill("2 1/2")
    await page.get_by_role("button", name="Save changes").click()
    await expect(console.estimate.get_by_text("2 versions")).to_be_visible()
    saved = (await api.get(f"/v1/visits/{visit_id}/estimate")).json()
    assert [line["quantity"] for line in saved["lines"]][:1] == ["2.5"]
    assert (saved["lines"][1]["unit_price"], saved["tax_rate"], saved["discount_rate"]) == ("285.00", "0.0825", "0.1")


async def test_lines_are_typed_and_pasted_as_in_a_spreadsheet(contractor: Person, visit_id: str) -> None:
    """Enter goes down and past the last line to a new one; Tab past the price to the next line; rows are pasted."""
    page = contractor.page
    contractor.expects_refusals = True
    await opened(contractor, visit_id)
    await page.get_by_role("button", name="Edit", exact=True).last.click()
    lines = page.locator(".edit-line")
    await lines.nth(0).get_by_label("Qty").press("Enter")
    await expect(lines.nth(1).get_by_label("Qty")).to_be_focused()
    await lines.nth(0).get_by_label("Unit price").press("Tab")
    await expect(lines.nth(1).get_by_label("Description")).to_be_focused()
    await lines.nth(1).get_by_label("Unit price").press("Enter")
    await expect(lines.nth(2).get_by_label("Description")).to_be_focused()
    await paste(
        lines.nth(2).get_by_label("Description"), 'Haul debris\t2\tload\t$1,250.00\n"Patch\t""drywall"""\tten\n'
    )
    await expect(lines).to_have_count(4)
    await expect(lines.nth(2).locator(".edit-amount")).to_have_text("$2,500.00")
    await expect(lines.nth(3).get_by_label("Description")).to_have_value('Patch "drywall"')
    await expect(lines.nth(3)).to_contain_text("Line 4: qty")


async def test_an_unsaved_edit_outlives_the_page(contractor: Person, visit_id: str) -> None:
    """Leaving by the address, or closing, loses nothing that was typed; discarding asks first."""
    page = contractor.page
    contractor.expects_refusals = True
    await opened(contractor, visit_id)
    await page.get_by_role("button", name="Edit", exact=True).last.click()
    await page.locator(".edit-line").nth(0).get_by_label("Description").fill("Copper gutter")
    await page.evaluate("location.hash = ''")
    await expect(page.locator("#visit")).to_be_hidden()
    await page.reload()
    await page.evaluate("id => (location.hash = `visit=${id}`)", visit_id)
    await expect(page.get_by_text("Your unsaved changes are back.")).to_be_visible()
    await expect(page.locator(".edit-line").nth(0).get_by_label("Description")).to_have_value("Copper gutter")
    await page.get_by_role("button", name="Discard changes").click()
    await page.get_by_role("button", name="Discard all changes?").click()
    await expect(page.locator("#estimate")).to_contain_text("Replace gutter")


async def test_a_line_is_confirmed_with_a_tick(contractor: Person, visit_id: str) -> None:
    """The reasons are there while editing; a tick ends them, and a line written by hand has no badge."""
    page = contractor.page
    contractor.expects_refusals = True
    console = await opened(contractor, visit_id)
    await expect(console.estimate.get_by_text("Confirm", exact=True)).not_to_have_count(0)
    await page.get_by_role("button", name="Edit", exact=True).last.click()
    for tick in await page.get_by_label("Confirmed").all():
        await tick.check()
    await page.get_by_role("button", name="Add a line").click()
    await page.locator(".edit-line").last.get_by_label("Description").fill("Haul debris")
    await page.locator(".edit-line").last.get_by_label("Unit price").fill("90")
    await page.get_by_role("button", name="Save changes").click()
    await expect(console.estimate.get_by_text("2 versions")).to_be_visible()
    await expect(console.estimate.get_by_text("Confirm", exact=True)).to_have_count(0)


async def test_two_people_edit_at_once_and_the_later_one_is_told(
    contractor: Person, visit_id: str, api: httpx.AsyncClient
) -> None:
    """The page says what the other one changed, and puts this edit on top when asked to."""
    page = contractor.page
    contractor.expects_refusals = True
    await opened(contractor, visit_id)
    await page.get_by_role("button", name="Edit", exact=True).last.click()
    await page.locator(".edit-line").nth(0).get_by_label("Qty").fill("30")
    await elsewhere(api, visit_id)
    await page.get_by_role("button", name="Save changes").click()
    moved = page.get_by_role("alert").filter(has_text="Someone else saved version 2")
    await expect(moved).to_contain_text("Unit price")
    await contractor.shoot("conflict", full=True)
    await moved.get_by_role("button", name="Keep my changes").click()
    await page.get_by_role("button", name="Save changes").click()
    await expect(page.get_by_text("3 versions")).to_be_visible()
    newest = (await api.get(f"/v1/visits/{visit_id}/estimate")).json()
    assert (newest["version"], newest["lines"][0]["quantity"]) == (3, "30")
    assert newest["lines"][0]["evidence"], "the line goes on and keeps what it rests on"


async def test_a_place_in_a_photo_is_shown_and_called_approximate(
    contractor: Person, service: Database, tenant: Tenant, visit_id: str
) -> None:
    """A click on the evidence opens the photo with a frame about where; one without a region has no frame."""
    contractor.expects_refusals = True  # the visit's media have no bytes
    region = {"x": 0.25, "y": 0.5, "w": 0.2, "h": 0.1}
    async with service.as_system() as conn:
        await conn.execute(
            "UPDATE estimate_lines SET evidence = jsonb_set(evidence, '{0,region}', $2) WHERE description = $3 "
            "AND estimate_id = (SELECT id FROM estimates WHERE visit_id = $1)",
            visit_id, region, "Replace gutter",
        )  # fmt: skip
    await opened(contractor, visit_id)
    await contractor.page.locator('.chip[data-source="photo"]').first.click()
    dialog = contractor.page.locator("#evidence")
    await expect(dialog).to_contain_text("Approximate location")
    assert await dialog.locator(".region").evaluate("box => [box.style.left, box.style.width]") == ["25%", "20%"]


async def test_the_editor_fits_a_phone(open_person: OpenPerson, server: Product, tenant: Tenant, visit_id: str) -> None:
    """Nothing stands out to the side at 390 pixels, and each control can be hit with a thumb."""
    person = await sign_in(await open_person(**PHONE), server, tenant)
    person.expects_refusals = True  # the visit's media have no bytes
    await opened(person, visit_id)
    await person.page.get_by_role("button", name="Edit", exact=True).last.click()
    await person.shoot("edit-phone", full=True)
    width = await person.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    assert await heights(person.page.locator("#edit-form button, #edit-form input:not([type=checkbox])")) >= 40


async def opened(person: Person, visit_id: str) -> Console:
    """Open the visit's page and wait for its estimate."""
    await person.page.evaluate("id => (location.hash = `visit=${id}`)", visit_id)
    console = Console(person)
    await console.see_estimate()
    return console


async def elsewhere(api: httpx.AsyncClient, visit_id: str) -> None:
    """Reprice the first line on another device."""
    estimate = (await api.get(f"/v1/visits/{visit_id}/estimate")).json()
    kept = ("id", "description", "category", "quantity", "unit", "unit_price", "option")
    lines = [{name: line[name] for name in kept} for line in estimate["lines"]]
    lines[0]["unit_price"] = "99.00"
    answer = await api.put(
        f"/v1/estimates/{estimate['id']}/lines", json={"lines": lines}, headers={"if-match": f'"{estimate["version"]}"'}
    )
    assert answer.status_code == 201, answer.text


async def paste(field: Locator, text: str) -> None:
    """Paste text as a spreadsheet leaves it on the clipboard."""
    await field.evaluate(
        """(field, text) => {
          const clipboardData = new DataTransfer();
          clipboardData.setData("text/plain", text);
          field.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
        }""",
        text,
    )


async def heights(controls: Locator) -> float:
    """Return the smallest height of some controls."""
    sizes: list[float] = await controls.evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
    return min(sizes)
