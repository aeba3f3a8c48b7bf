"""The page of webhooks: an administrator adds an endpoint, sees its secret once, tests it and reads its log."""

import re
from uuid import uuid4

import httpx

from gateway.auth.sessions import SECURE_COOKIE
from tests.gateway.accounts.conftest import OpenBrowser
from tests.tenants import Admin, Tenant, make_member

PATH = "/company/webhooks"
URL = "https://crm.example.com/hook"


async def _signed_in(opened: OpenBrowser, user: Tenant) -> httpx.AsyncClient:
    browser = await opened()
    browser.cookies.set(SECURE_COOKIE, user.session)
    return browser


async def _added(browser: httpx.AsyncClient) -> tuple[str, str]:
    """Add an endpoint: its page's path, and the page."""
    page = await browser.post(PATH, data={"url": URL, "description": "CRM", "visit.created": "on"})
    assert page.status_code == 200, page.text
    found = re.search(rf'action="({PATH}/[0-9a-f-]+)/test"', page.text)
    assert found is not None
    return found[1], page.text


async def test_secret_is_shown_once(open_browser: OpenBrowser, tenant: Tenant) -> None:
    """On the page that answers the form, and after a rotation another; never on the endpoint's own."""
    browser = await _signed_in(open_browser, tenant)
    path, page = await _added(browser)
    assert "whsec_" in page
    assert "whsec_" not in (await browser.get(path)).text
    rotated = await browser.post(f"{path}/rotate")
    assert "whsec_" in rotated.text
    assert re.findall("whsec_[^<]+", rotated.text) != re.findall("whsec_[^<]+", page)
    assert URL in (await browser.get(PATH)).text


async def test_test_event_is_in_the_log_and_goes_again(
    open_browser: OpenBrowser,
    admin: Admin,
    tenant: Tenant,
) -> None:
    """With its answer and the time it took."""
    browser = await _signed_in(open_browser, tenant)
    path, _ = await _added(browser)
    assert (await browser.post(f"{path}/test")).status_code == 303
    await admin.execute("DELETE FROM jobs WHERE job_type = 'webhook'")
    delivery = await admin.fetchval("SELECT id FROM webhook_deliveries WHERE tenant_id = $1", tenant.id)
    await admin.execute("SELECT scopekit.note_webhook_answer($1, 'failed', 500, 12, 'HTTP 500')", delivery)
    page = (await browser.get(f"{path}?done=test")).text
    assert "webhook.test" in page
    assert "HTTP 500 in 12 ms" in page
    assert (await browser.post(f"{path}/deliveries/{delivery}/again")).status_code == 303
    await admin.execute("DELETE FROM jobs WHERE job_type = 'webhook'")
    await admin.execute("UPDATE webhook_deliveries SET state = 'failed' WHERE id = $1", delivery)
    assert (await browser.post(f"{path}/again", data={"hours": "24"})).status_code == 303
    assert await admin.fetchval("SELECT count(*) FROM jobs WHERE unique_key = $1", str(delivery)) == 1


async def test_endpoint_is_changed_paused_turned_on_and_deleted(
    open_browser: OpenBrowser,
    tenant: Tenant,
) -> None:
    """What was ticked is ticked."""
    browser = await _signed_in(open_browser, tenant)
    path, _ = await _added(browser)
    await browser.post(path, data={"url": URL + "/2", "description": "", "share.accepted": "on"})
    page = (await browser.get(path)).text
    assert URL + "/2" in page
    assert re.findall(r'name="([a-z._]+)" checked', page) == ["share.accepted"]
    await browser.post(f"{path}/status", data={"status": "paused"})
    paused = (await browser.get(path)).text
    assert "Paused by a person" in paused
    assert "Send a test event" not in paused
    await browser.post(f"{path}/status", data={"status": "active"})
    assert "Send a test event" in (await browser.get(path)).text
    assert (await browser.post(f"{path}/delete")).headers["location"] == f"{PATH}?done=deleted"
    assert (await browser.get(path)).status_code == 404


async def test_wrong_address_and_no_events_are_said(open_browser: OpenBrowser, tenant: Tenant) -> None:
    """In words for the person at the form."""
    browser = await _signed_in(open_browser, tenant)
    answer = await browser.post(PATH, data={"url": "http://crm.example.com/", "visit.created": "on"})
    assert (answer.status_code, "must begin with https://" in answer.text) == (422, True)
    assert (await browser.post(PATH, data={"url": URL})).status_code == 422


async def test_members_do_not_see_the_page(open_browser: OpenBrowser, admin: Admin, tenant: Tenant) -> None:
    """Nor do other companies' administrators see an endpoint."""
    member = await make_member(admin, tenant)
    browser = await _signed_in(open_browser, member)
    assert (await browser.get(PATH)).status_code == 403
    assert (await browser.get(f"{PATH}/{uuid4()}")).status_code == 403
