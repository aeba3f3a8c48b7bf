"""The price book on the page: searched as one types, filled from a file, and told line by line what was wrong."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.conftest import PHONE, OpenPerson, sign_in
from tests.browser.people.person import Person
from tests.product import Product
from tests.tenants import Tenant

pytestmark = pytest.mark.browser


async def test_a_file_is_imported_or_its_faults_are_named(contractor: Person, tmp_path: Path) -> None:
    """A bad line imports nothing and is named; the mended file is taken in and found by a slip of the finger."""
    page = contractor.page
    contractor.expects_refusals = True
    await page.get_by_role("button", name="Price book").click()
    items = page.locator("#price-book-items")
    await expect(items).to_contain_text("Toilet replacement")
    file = tmp_path / "book.csv"
    file.write_text("description,unit,unit_price\nWalnut mantel,each,12.345\n")
    await page.get_by_label("Import a CSV file").set_input_files(file)
    news = page.locator("#price-book-news")
    await expect(news).to_contain_text("Line 2, unit_price")
    await contractor.shoot("price-book-errors")
    file.write_text("description,unit,unit_price\nWalnut mantel,each,1234.50\n")
    await page.get_by_label("Import a CSV file").set_input_files(file)
    await expect(news).to_contain_text("1 item added, 0 updated.")
    await page.get_by_label("Search", exact=True).fill("wallnut mantel")
    await expect(items.get_by_role("listitem")).to_have_count(1)
    await expect(items).to_contain_text("$1,234.50 / each")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Export as CSV").click()
    assert "Walnut mantel" in (await (await download.value).path()).read_text()


async def test_the_price_book_fits_a_phone(open_person: OpenPerson, server: Product, tenant: Tenant) -> None:
    """Nothing stands out to the side at 390 pixels."""
    person = await sign_in(await open_person(**PHONE), server, tenant)
    await person.page.get_by_role("button", name="Price book").click()
    await expect(person.page.locator("#price-book-items")).to_contain_text("Toilet replacement")
    await person.shoot("price-book-phone")
    assert await person.page.evaluate("document.documentElement.scrollWidth") <= 390
