"""The company's pages: people, keys, settings, sessions."""

import re
from uuid import uuid4

import httpx
import pytest

from gateway.auth.sessions import SECURE_COOKIE
from store.mail.notices import TOPICS
from tests.gateway.accounts.conftest import OpenBrowser, Sender
from tests.support.servers.mail_catcher import Catcher
from tests.support.waiting import until
from tests.tenants import Admin, Tenant, make_member, open_session


async def signed_in(open_browser: OpenBrowser, user: Tenant) -> httpx.AsyncClient:
    """Open a browser that is signed in as this user."""
    browser = await open_browser()
    browser.cookies.set(SECURE_COOKIE, user.session)
    return browser


async def test_an_admin_invites_and_the_mail_goes_out(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, tenant: Tenant
) -> None:
    """The page says so, lists the invitation, sends it again and withdraws it."""
    browser, email = await signed_in(open_browser, tenant), f"{uuid4().hex[:8]}@example.com"
    answer = await browser.post("/company/people/invite", data={"email": email, "role": "viewer"})
    page = await browser.get(answer.headers["location"])
    assert "The invitation is on its way." in page.text
    assert email in page.text
    await sender.send_one()
    assert catcher.mails[-1]["to"] == email
    again = await browser.post("/company/people/invite", data={"email": email, "role": "viewer"})
    assert again.status_code == 303
    [path] = set(re.findall(r'action="(/company/people/invitations/[^"]+)"', page.text))
    assert (await browser.post(path)).status_code == 303
    assert path not in (await browser.get("/company/people")).text
    assert (await browser.post(path)).status_code == 404


async def test_wrong_input_is_shown_on_the_page(open_browser: OpenBrowser, tenant: Tenant) -> None:
    """With what was typed, and escaped."""
    browser = await signed_in(open_browser, tenant)
    answer = await browser.post("/company/people/invite", data={"email": "<b>none</b>"})
    assert (answer.status_code, "Enter an e-mail address" in answer.text) == (422, True)
    assert "<b>none" not in answer.text
    refused = await browser.post(f"/company/people/{tenant.user_id}", data={"role": ""})
    assert (refused.status_code, "keeps an owner" in refused.text) == (409, True)


async def test_a_removed_person_is_out(open_browser: OpenBrowser, admin: Admin, tenant: Tenant) -> None:
    """Within a second their session acts for no company."""
    owner, member = await signed_in(open_browser, tenant), await make_member(admin, tenant)
    theirs = await signed_in(open_browser, member)
    assert (await theirs.get("/v1/me")).status_code == 200
    assert (await owner.post(f"/company/people/{member.user_id}", data={"role": "admin"})).status_code == 303
    assert (await owner.post(f"/company/people/{member.user_id}", data={"role": ""})).status_code == 303

    async def is_out() -> bool:
        return (await theirs.get("/v1/me")).status_code == 403

    await until(is_out, 2)
    assert (await theirs.get("/company/people")).headers["location"] == "/company/you"
    assert "You belong to no company" in (await theirs.get("/company/you")).text


@pytest.mark.parametrize("path", ["/company", "/company/people", "/company/keys", "/company/settings", "/company/you"])
async def test_who_is_not_signed_in_is_led_to_the_page_and_back(open_browser: OpenBrowser, path: str) -> None:
    """A browser; a program gets 401."""
    browser = await open_browser()
    answer = await browser.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?next={path}")
    assert (await browser.get(path, headers={"accept": "application/json"})).status_code == 401


async def test_a_member_manages_nobody(open_browser: OpenBrowser, admin: Admin, tenant: Tenant) -> None:
    """Neither people nor keys nor settings; their own page is theirs."""
    browser = await signed_in(open_browser, await make_member(admin, tenant))
    for path in ("/company/people", "/company/keys", "/company/settings"):
        assert (await browser.get(path)).status_code == 403
    assert (await browser.post("/company/keys", data={"name": "x"})).status_code == 403
    assert (await browser.post("/company/people/invite", data={"email": "a@example.com"})).status_code == 403
    assert (await browser.post(f"/company/people/{tenant.user_id}", data={"role": "viewer"})).status_code == 403
    assert (await browser.get("/company/you")).status_code == 200


async def test_another_sites_form_changes_nothing(open_browser: OpenBrowser, tenant: Tenant) -> None:
    """The cookie alone is not enough."""
    browser = await signed_in(open_browser, tenant)
    for path in ("/company/keys", "/company/people/invite", "/company/you/sessions/end-others", "/company/settings"):
        answer = await browser.post(path, data={"name": "x"}, headers={"origin": "https://evil.example"})
        assert answer.status_code == 403


async def test_a_key_is_shown_once_and_works_until_it_is_revoked(open_browser: OpenBrowser, tenant: Tenant) -> None:
    """Made in the browser, used by a program, revoked in the browser."""
    browser = await signed_in(open_browser, tenant)
    made = await browser.post("/company/keys", data={"name": "Export", "role": "viewer"})
    found = re.search(r"sk_[A-Za-z0-9_-]{64}", made.text)
    assert found is not None
    page = (await browser.get("/company/keys")).text
    assert found[0] not in page
    program = await open_browser()
    bearer = {"authorization": f"Bearer {found[0]}"}
    assert (await program.get("/v1/me", headers=bearer)).json()["role"] == "viewer"
    path = re.findall(r'action="(/company/keys/[^"]+/revoke)"', page)[0]
    assert (await browser.post(path)).status_code == 303

    async def is_out() -> bool:
        return (await program.get("/v1/me", headers=bearer)).status_code in (401, 403)

    await until(is_out, 2)


async def test_sessions_are_listed_and_ended(open_browser: OpenBrowser, admin: Admin, tenant: Tenant) -> None:
    """One by one, or all others; nobody else's."""
    here, stranger = await signed_in(open_browser, tenant), await make_member(admin, tenant)
    other = await open_browser()
    other.cookies.set(SECURE_COOKIE, await open_session(admin, tenant.user_id, tenant.id))
    page = (await here.get("/company/you")).text
    [path] = re.findall(r'action="(/company/you/sessions/[0-9a-f-]{36}/end)"', page)
    assert (await (await signed_in(open_browser, stranger)).post(path)).status_code == 404
    assert (await other.get("/v1/me")).status_code == 200
    assert (await here.post(path)).status_code == 303
    assert (await other.get("/v1/me")).status_code == 401
    third = await open_session(admin, tenant.user_id, tenant.id)
    assert (await here.post("/company/you/sessions/end-others")).status_code == 303
    assert await admin.fetchval("SELECT count(*) FROM sessions WHERE user_id = $1", tenant.user_id) == 1
    assert third
    assert (await here.get("/v1/me")).status_code == 200


async def test_a_browser_switches_to_another_company(
    open_browser: OpenBrowser, admin: Admin, tenant: Tenant, other_tenant: Tenant
) -> None:
    """Of the user's own; the secret of the cookie is another from then on."""
    await admin.execute("INSERT INTO memberships VALUES ($1, $2, 'viewer')", other_tenant.id, tenant.user_id)
    browser = await signed_in(open_browser, tenant)
    assert (await browser.post("/company/you/company", data={"company": str(uuid4())})).status_code == 404
    assert (await browser.post("/company/you/company", data={"company": str(other_tenant.id)})).status_code == 303
    assert (await browser.get("/v1/me")).json()["tenant"]["id"] == str(other_tenant.id)
    page = await browser.get("/company/you")
    assert page.headers["set-cookie"].startswith(f"{SECURE_COOKIE}=")
    assert (await browser.get("/v1/me")).status_code == 200


async def test_an_admin_changes_the_companys_settings(open_browser: OpenBrowser, tenant: Tenant) -> None:
    """Name, currency and tax in percent."""
    browser = await signed_in(open_browser, tenant)
    page = (await browser.get("/company/settings")).text
    assert 'value="8.25"' in page
    form = {"name": "Acme", "currency": "eur", "tax": "19"}
    assert (await browser.post("/company/settings", data=form)).status_code == 303
    company = (await browser.get("/v1/me")).json()["tenant"]
    assert (company["name"], company["currency"], company["tax_rate"]) == ("Acme", "EUR", "0.19000")
    for wrong in ({"currency": "euro"}, {"tax": "-1"}, {"tax": "100"}, {"name": " "}):
        assert (await browser.post("/company/settings", data=form | wrong)).status_code == 422


@pytest.mark.parametrize("path", ["/company/people", "/company/settings", "/company/bin", "/company/you"])
async def test_a_test_company_has_a_badge_on_its_pages(
    open_browser: OpenBrowser, admin: Admin, tenant: Tenant, path: str
) -> None:
    """Beside the company's name; other companies have none."""
    browser = await signed_in(open_browser, tenant)
    badge = '<span class="badge" title="No mail leaves a test company.">Test</span>'
    assert badge not in (await browser.get(path)).text
    await admin.execute("UPDATE tenants SET is_test = true WHERE id = $1", tenant.id)
    assert badge in (await browser.get(path)).text


async def test_an_admin_sets_when_customers_are_reminded(open_browser: OpenBrowser, tenant: Tenant) -> None:
    """An empty field is never; more than 60 days are refused."""
    browser = await signed_in(open_browser, tenant)
    form = {"unopened": "2", "unanswered": ""}
    assert (await browser.post("/company/settings/reminders", data=form)).status_code == 303
    page = (await browser.get("/company/settings")).text
    assert 'name="unopened" value="2"' in page
    assert 'name="unanswered" value=""' in page
    assert (await browser.post("/company/settings/reminders", data=form | {"unopened": "61"})).status_code == 422


async def test_a_person_chooses_which_mails_they_get(open_browser: OpenBrowser, tenant: Tenant) -> None:
    """Each topic for itself; an owner begins with everybody's."""
    browser = await signed_in(open_browser, tenant)
    before = (await browser.get("/company/you")).text
    assert before.count('value="all" selected') == len(TOPICS)
    form = dict.fromkeys(TOPICS, "mine") | {"opened": "off"}
    assert (await browser.post("/company/you/notifications", data=form)).status_code == 303
    after = (await browser.get("/company/you")).text
    assert (after.count('value="mine" selected'), after.count('value="off" selected')) == (len(TOPICS) - 1, 1)
    assert (await browser.post("/company/you/notifications", data=form | {"opened": "loud"})).status_code == 422


async def test_companies_are_made_where_everybody_may(open_browser: OpenBrowser, app: object, tenant: Tenant) -> None:
    """SIGN_UP is `invite` here: nobody makes one."""
    browser = await signed_in(open_browser, tenant)
    assert (await browser.post("/company/you/companies", data={"name": "Mine"})).status_code == 403


async def test_a_person_deletes_their_account(open_browser: OpenBrowser, admin: Admin, tenant: Tenant) -> None:
    """All that signs them in is gone, and their address; the company stays, and keeps an owner."""
    email = f"{uuid4().hex[:8]}@example.com"
    await admin.execute("UPDATE users SET email = $2 WHERE id = $1", tenant.user_id, email)
    browser = await signed_in(open_browser, tenant)
    last = await browser.post("/company/you/delete")
    assert (last.status_code, "keeps an owner" in last.text) == (409, True)
    assert (await browser.get("/v1/me")).status_code == 200
    await make_member(admin, tenant, "owner")
    await admin.execute(
        "INSERT INTO people_audit (tenant_id, actor, action, target) VALUES ($1, 'test', 'join', $2)", tenant.id, email
    )
    assert (await browser.post("/company/you/delete")).headers["location"] == "/sign-in"
    assert (await browser.get("/v1/me")).status_code == 401
    for table, column in (("users", "id"), ("sessions", "user_id"), ("memberships", "user_id")):
        assert await admin.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = $1", tenant.user_id) == 0
    assert await admin.fetchval("SELECT count(*) FROM people_audit WHERE target = $1", email) == 0
    assert await admin.fetchval("SELECT count(*) FROM memberships WHERE tenant_id = $1", tenant.id) == 1


async def test_a_deleted_visit_is_restored_or_deleted_for_good_on_the_page(
    open_browser: OpenBrowser, admin: Admin, tenant: Tenant
) -> None:
    """By members the one, by admins the other; a viewer sees the list."""
    owner = await signed_in(open_browser, tenant)
    visit = (await owner.post("/v1/visits", json={"title": "Ridge <repair>"})).json()["id"]
    assert "No visits were deleted" in (await owner.get("/company/bin")).text
    await owner.delete(f"/v1/visits/{visit}")
    page = (await owner.get("/company/bin")).text
    assert "Ridge &lt;repair&gt;" in page
    viewer = await signed_in(open_browser, await make_member(admin, tenant, "viewer"))
    seen = (await viewer.get("/company/bin")).text
    assert ("Ridge" in seen, "/restore" in seen, "/purge" in seen) == (True, False, False)
    assert (await viewer.post(f"/company/bin/{visit}/restore")).status_code == 403
    member = await signed_in(open_browser, await make_member(admin, tenant))
    assert (await member.post(f"/company/bin/{visit}/purge")).status_code == 403
    assert (await member.post(f"/company/bin/{visit}/restore")).headers["location"] == "/company/bin"
    assert (await owner.get(f"/v1/visits/{visit}")).status_code == 200
    await owner.delete(f"/v1/visits/{visit}")
    assert (await owner.post(f"/company/bin/{visit}/purge")).status_code == 303
    assert "No visits were deleted" in (await owner.get("/company/bin")).text
