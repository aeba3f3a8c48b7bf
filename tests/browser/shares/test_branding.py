"""The company's own look on the page: words, logo and colour are set, what is refused is told at its field."""

import io
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.async_api import FilePayload, Page, expect

from tests.browser.conftest import PHONE, OpenPerson, sign_in
from tests.browser.people.person import Person
from tests.product import Product
from tests.tenants import Admin, Tenant, make_member

pytestmark = pytest.mark.browser


def _logo() -> FilePayload:
    body = io.BytesIO()
    Image.new("RGB", (600, 200), "navy").save(body, "PNG")
    return {"name": "logo.png", "mimeType": "image/png", "buffer": body.getvalue()}


async def _open(page: Page) -> None:
    await page.get_by_role("button", name="Branding").click()
    await expect(page.get_by_role("button", name="Save", exact=True)).to_be_enabled()


async def test_an_owner_sets_what_documents_look_like(contractor: Person, api: httpx.AsyncClient) -> None:
    """A pale colour is refused with one that reads, and nothing typed is lost; then all of it is kept."""
    page = contractor.page
    contractor.expects_refusals = True
    await _open(page)
    await page.get_by_label("Company name").fill("Müller & Söhne")
    await page.get_by_role("dialog").get_by_label("Address").fill("12 Quay Street\nPortland")
    await page.get_by_label("Email").fill("office@example.test")
    await page.get_by_label("Terms", exact=True).fill("Half on acceptance.")
    colour = page.get_by_label("Color", exact=True)
    await colour.fill("#7fc8f8")
    await page.get_by_role("button", name="Save", exact=True).click()
    news = page.locator("#branding-news")
    await expect(news).to_contain_text("Color: Its contrast with white paper is 1.7")
    await expect(colour).to_be_focused()
    await expect(page.get_by_label("Company name")).to_have_value("Müller & Söhne")
    await contractor.shoot("branding-refused")
    await colour.fill("#7a2e1d")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(news).to_contain_text("Saved.")
    brand = (await api.get("/v1/branding")).json()
    assert (brand["business_name"], brand["address"], brand["email"], brand["terms"], brand["accent"]) == (
        "Müller & Söhne", "12 Quay Street\nPortland", "office@example.test", "Half on acceptance.", "#7a2e1d",
    )  # fmt: skip
    await page.get_by_role("button", name="Use the standard color").click()
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(colour).to_have_value("#0b5d49")
    await expect(page.locator("#branding-form")).not_to_have_attribute("aria-busy", "true")
    assert (await api.get("/v1/branding")).json()["accent"] is None


async def test_a_logo_is_shown_replaced_and_removed(contractor: Person, api: httpx.AsyncClient, tmp_path: Path) -> None:
    """A file that is no picture is refused in the server's words; a picture is shown at once; removal asks twice."""
    page = contractor.page
    contractor.expects_refusals = True
    await _open(page)
    drawing = tmp_path / "logo.svg"
    drawing.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    await page.get_by_label("Upload logo").set_input_files(drawing)
    await expect(page.locator("#branding-news")).to_contain_text("Send one of: image/jpeg, image/png, image/webp.")
    await page.get_by_label("Upload logo").set_input_files(_logo())
    logo = page.get_by_alt_text("Your logo")
    await expect(logo).to_be_visible()
    await expect(logo).to_have_js_property("naturalWidth", 480)
    await contractor.shoot("branding-logo")
    remove = page.locator("#branding-logo-remove")
    await remove.click()
    await expect(remove).to_have_text("Remove the logo?")
    await remove.click()
    await expect(logo).to_be_hidden()
    await expect(page.locator("#branding-news")).to_contain_text("Logo removed.")
    assert (await api.get("/v1/branding")).json()["has_logo"] is False


async def test_a_member_is_not_shown_the_way_in_and_it_fits_a_phone(
    open_person: OpenPerson, server: Product, admin: Admin, tenant: Tenant
) -> None:
    """Members see no button that would refuse them; at 390 pixels nothing stands out to the side."""
    member = await sign_in(await open_person(**PHONE), server, await make_member(admin, tenant))
    await expect(member.page.get_by_role("button", name="Price book")).to_be_visible()
    await expect(member.page.locator("#tenant-name")).not_to_be_empty()
    await expect(member.page.get_by_role("button", name="Branding")).to_be_hidden()
    owner = await sign_in(await open_person(**PHONE), server, tenant)
    await _open(owner.page)
    await owner.shoot("branding-phone")
    assert await owner.page.evaluate("document.documentElement.scrollWidth") <= 390
