"""The console's list of visits: searched, narrowed by state, and read page by page."""

import httpx
import pytest
from playwright.async_api import expect

from tests.browser.conftest import PHONE, OpenPerson, sign_in
from tests.product import Product
from tests.tenants import Tenant

pytestmark = pytest.mark.browser


async def test_visits_are_searched_and_narrowed(
    open_person: OpenPerson, server: Product, tenant: Tenant, api: httpx.AsyncClient
) -> None:
    """By words and by state; of many, the oldest is found on another page. It fits a phone."""
    for number in range(51):
        title = {0: "Boathouse roof"}.get(number, f"Kitchen {number}")
        assert (await api.post("/v1/visits", json={"title": title})).status_code == 201
    person = await sign_in(await open_person(**PHONE), server, tenant)
    page = person.page
    entries = page.locator("#visit-list > li")
    await expect(entries).to_have_count(50)
    await page.get_by_role("button", name="Show more visits").click()
    await expect(entries).to_have_count(51)
    await page.get_by_label("Search visits").fill("boathouse")
    await expect(entries).to_have_count(1)
    await expect(entries).to_contain_text("Boathouse roof")
    await person.shoot("visits-phone")
    await page.get_by_label("Show", exact=True).select_option("accepted")
    await expect(entries).to_have_count(0)
    await page.get_by_label("Show", exact=True).select_option("")
    await page.get_by_label("Search visits").fill("")
    await expect(entries).to_have_count(50)
