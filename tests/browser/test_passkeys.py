"""Passkeys in a real browser, with its virtual authenticator: added, used, and worth nothing elsewhere."""

from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

from gateway.auth.sessions import LOOPBACK_COOKIE
from tests.browser.conftest import OpenPerson, sign_in_at
from tests.gateway.shares.test_accessibility import assert_clean, axe
from tests.product import Product
from tests.tenants import Tenant

__all__ = ["axe"]
pytestmark = pytest.mark.browser

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


async def add_authenticator(page: Page) -> tuple[Any, str]:
    """Give the browser a device that holds passkeys."""
    session = await page.context.new_cdp_session(page)
    await session.send("WebAuthn.enable")
    added = await session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return session, added["authenticatorId"]


async def test_a_passkey_is_added_signs_in_and_is_removed(
    open_person: OpenPerson, server: Product, tenant: Tenant, axe: str
) -> None:
    """From the owner's own page to the sign-in page, without a mail."""
    home = server.url.replace("127.0.0.1", "localhost")  # an address is no name that a passkey could be for
    person = await open_person()
    page = person.page
    await add_authenticator(page)
    await sign_in_at(person, f"{home}/company/you", tenant)
    await assert_clean(page, axe)
    await page.get_by_label("Name of this device").fill("Work laptop")
    await page.get_by_role("button", name="Add a passkey").click()
    await expect(page.get_by_text("Work laptop", exact=True)).to_be_visible()

    await page.get_by_role("button", name="Sign out").click()
    await page.goto(f"{home}/sign-in?next=/company/keys")
    await page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(page.get_by_role("heading", name="Make a key")).to_be_visible()
    assert {cookie["name"] for cookie in await page.context.cookies()} == {LOOPBACK_COOKIE}

    await page.goto(f"{home}/company/you")
    await expect(page.get_by_text("used ", exact=False).first).to_be_visible()
    await page.get_by_text("Remove", exact=True).click()
    await page.get_by_role("button", name="Remove Work laptop").click()
    await expect(page.get_by_text("Work laptop", exact=True)).to_have_count(0)
    await page.get_by_role("button", name="Sign out").click()
    person.expects_refusals = True
    await page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(page.get_by_text("This passkey is not known here.")).to_be_visible()


async def test_an_answer_works_once_and_in_its_own_browser(
    open_person: OpenPerson, server: Product, tenant: Tenant
) -> None:
    """Replayed, or sent by another browser, a signature opens nothing."""
    home = server.url.replace("127.0.0.1", "localhost")
    person = await open_person()
    person.expects_refusals = True
    page = person.page
    await add_authenticator(page)
    await sign_in_at(person, f"{home}/company/you", tenant)
    await page.get_by_label("Name of this device").fill("Phone")
    await page.get_by_role("button", name="Add a passkey").click()
    await expect(page.get_by_text("Phone", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    async with page.expect_request(lambda request: request.url.endswith("/sign-in/passkey")) as sent:
        await page.get_by_role("button", name="Sign in with a passkey").click()
    request = await sent.value
    body, headers = request.post_data, await request.all_headers()
    assert body is not None
    async with httpx.AsyncClient(base_url=home) as caller:
        ours = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
        for cookie in ({}, {"cookie": headers["cookie"]}):
            answer = await caller.post("/sign-in/passkey", content=body, headers=ours | cookie)
            assert (answer.status_code, LOOPBACK_COOKIE in answer.cookies) == (410, False)
