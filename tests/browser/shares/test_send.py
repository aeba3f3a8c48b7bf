"""Send: the share sheet and a text message on a phone, a QR code on a laptop, a mail; each has its words."""

from urllib.parse import unquote

import pytest
from playwright.async_api import Page, expect

from store.pool import Database
from tests.browser.people.person import Person
from tests.browser.test_editing import opened
from tests.gateway.shares.documents import make_visit
from tests.tenants import Tenant

pytestmark = pytest.mark.browser

SHEET = "navigator.share = async (shared) => { window.shared = shared; };"


async def _link(page: Page) -> str:
    await page.locator("#share").get_by_label("Customer", exact=True).fill("Maria")
    await page.get_by_role("button", name="Create link").click()
    return await page.get_by_label("Link for the customer").input_value()


async def test_a_link_is_sent_with_the_words_filled_in(contractor: Person, service: Database, tenant: Tenant) -> None:
    """The share sheet gets title, text and address; sms: and mailto: have them; the code is drawn here."""
    visit = await make_visit(service, tenant)
    contractor.expects_refusals = True  # photos and recording have no bytes
    page = contractor.page
    await opened(contractor, str(visit.id))
    await page.evaluate(SHEET)
    url = await _link(page)
    box = page.locator("#share-link")
    await box.get_by_role("button", name="Send", exact=True).click()
    shared = await page.evaluate("window.shared")
    assert (shared["url"], shared["text"]) == (url, "Hello Maria, here is your estimate:")
    assert shared["title"].startswith("Your estimate from ")
    sms = await box.get_by_role("link", name="Text message").get_attribute("href")
    assert sms is not None
    assert unquote(sms) == f"sms:?&body=Hello Maria, here is your estimate: {url}"
    mail = await box.get_by_role("link", name="Your mail program").get_attribute("href")
    assert mail is not None
    assert unquote(mail).endswith(f"&body=Hello Maria, here is your estimate: {url}")
    await box.get_by_role("button", name="QR code").click()
    code = box.get_by_alt_text("QR code of the link")
    await expect(code).to_be_visible()
    assert await code.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    await contractor.shoot("send", full=True)


async def test_the_mail_is_looked_at_before_it_is_sent(contractor: Person, service: Database, tenant: Tenant) -> None:
    """The preview is the letter in the words typed; its subject stands above it."""
    visit = await make_visit(service, tenant)
    contractor.expects_refusals = True
    page = contractor.page
    await opened(contractor, str(visit.id))
    await _link(page)
    box = page.locator("#share-link")
    await box.get_by_label("Message").fill("As we said on Monday.")
    await box.get_by_role("button", name="Preview").click()
    letter = box.frame_locator("iframe")
    await expect(letter.get_by_text("As we said on Monday.")).to_be_visible()
    await expect(box.get_by_text("Subject: Your estimate from")).to_be_visible()
    await contractor.shoot("mail-preview", full=True)
