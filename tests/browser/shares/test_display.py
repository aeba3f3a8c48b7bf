"""The contractor chooses what the customer sees, and looks at it before sending."""

import httpx
import pytest
from playwright.async_api import expect

from store.objects.objects import ObjectStore
from store.pool import Database
from tests.browser.people.person import Person
from tests.browser.test_editing import opened
from tests.gateway.shares.documents import make_visit, store_photos
from tests.tenants import Tenant

pytestmark = pytest.mark.browser


async def test_the_contractor_chooses_what_the_customer_sees(
    contractor: Person, service: Database, tenant: Tenant, objects: ObjectStore, api: httpx.AsyncClient
) -> None:
    """One price and no photo of the porch: the preview shows it so, and so does the link."""
    visit = await make_visit(service, tenant)
    await store_photos(objects, tenant, visit)
    contractor.expects_refusals = True  # the recording has no bytes
    page = contractor.page
    await opened(contractor, str(visit.id))
    await page.get_by_text("What the customer sees").click()
    await page.locator("#share").get_by_label("Prices").select_option("One price")
    await page.get_by_label("Photo 1").uncheck()
    await contractor.shoot("display", full=True)
    async with page.expect_popup() as opening:
        await page.get_by_role("link", name="Preview as the customer").click()
    preview = await opening.value
    await expect(preview.get_by_text("This is what your customer will see.")).to_be_visible()
    await expect(preview.get_by_role("columnheader", name="Amount")).to_have_count(0)
    await expect(preview.locator("[data-photo]")).to_have_count(0)
    await preview.screenshot(path=contractor.shots / "preview.png", full_page=True)
    await preview.close()
    await page.get_by_role("button", name="Create link").click()
    await expect(page.get_by_label("Link for the customer")).to_be_visible()
    shares = (await api.get(f"/v1/estimates/{visit.estimate['id']}/shares")).json()["shares"]
    assert (shares[0]["display"]["prices"], shares[0]["display"]["hidden_photos"]) == ("total", [str(visit.cited)])
