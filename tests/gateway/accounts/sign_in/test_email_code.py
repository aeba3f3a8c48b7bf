"""Signing in by an e-mailed code or link, and what an attacker gets of it."""

import asyncio
from uuid import uuid4

import httpx
import pytest

from store.errors import Unavailable
from store.people import sign_in
from tests.gateway.accounts.conftest import OpenBrowser, Sender
from tests.support.servers.mail_catcher import Catcher
from tests.tenants import Admin, Tenant, make_member


@pytest.fixture
async def person(admin: Admin, tenant: Tenant) -> str:
    """An address with an account, of an owner."""
    address = f"{uuid4().hex[:8]}@example.com"
    await admin.execute("UPDATE users SET email = $2 WHERE id = $1", tenant.user_id, address)
    return address


async def ask(browser: httpx.AsyncClient, email: str, **more: str) -> httpx.Response:
    """Ask for a code."""
    return await browser.post("/sign-in/email", data={"email": email, **more})


async def enter(browser: httpx.AsyncClient, code: str) -> httpx.Response:
    """Type a code."""
    return await browser.post("/sign-in/code", data={"code": code})


async def test_a_code_signs_in(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, tenant: Tenant, person: str
) -> None:
    """From the page to the company, over TLS, to where the person wanted to go; the code works once."""
    browser = await open_browser()
    assert 'action="/sign-in/email"' in (await browser.get("/sign-in?next=/ops")).text
    assert (await ask(browser, f"  {person.upper()} ", next="/ops")).headers["location"] == "/sign-in/code"
    assert await sender.send_one()
    assert catcher.mails[-1]["to"] == person
    code = catcher.code()
    answer = await enter(browser, f"{code[:3]} {code[3:]}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ops")
    me = await browser.get("/v1/me")
    assert (me.status_code, me.json()["tenant"]["id"]) == (200, str(tenant.id))
    assert (await enter(browser, code)).status_code == 410


async def test_a_link_signs_in_and_looking_at_it_uses_nothing_up(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, person: str
) -> None:
    """A mail scanner opens it twice; the person's button still works, once."""
    browser, scanner = await open_browser(), await open_browser()
    await ask(browser, person)
    await sender.send_one()
    link = catcher.link()
    for _ in range(2):
        assert (await scanner.get(link)).status_code == 200
    assert person in (await browser.get(link)).text
    token = link.rpartition("/")[2]
    answer = await browser.post("/sign-in/link", data={"token": token})
    assert answer.status_code == 303
    assert (await browser.get("/v1/me")).status_code == 200
    assert (await browser.post("/sign-in/link", data={"token": token})).status_code == 410


async def test_a_link_of_another_browser_signs_nobody_in(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, person: str
) -> None:
    """Login CSRF: an attacker who sends a victim the link to the attacker's own account gets them nowhere."""
    attacker, victim = await open_browser(), await open_browser()
    await ask(attacker, person)
    await sender.send_one()
    link = catcher.link()
    page = await victim.get(link)
    assert "Go back to where you began" in page.text
    assert person not in page.text
    answer = await victim.post("/sign-in/link", data={"token": link.rpartition("/")[2]})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize("path", ["/sign-in/email", "/sign-in/code", "/sign-in/link", "/sign-out", "/join"])
async def test_another_sites_form_is_refused(open_browser: OpenBrowser, path: str) -> None:
    """Nobody is signed in, or out, by a page that is not ours."""
    browser = await open_browser()
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "null"}):
        browser.headers.pop("sec-fetch-site", None)  # a browser too old for it sends a sandboxed frame's `null`
        answer = await browser.post(path, data={"email": "a@b.example"}, headers=headers)
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


async def test_an_address_without_an_account_is_answered_the_same(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, person: str
) -> None:
    """Status, body, headers and the rows written are the same; only no mail goes out."""
    answers = []
    for address in (person, "nobody@example.com"):
        browser = await open_browser()
        answer = await ask(browser, address)
        names = sorted(name for name in answer.headers if name not in ("x-correlation-id", "set-cookie"))
        page = await browser.get("/sign-in/code")
        answers.append((answer.status_code, answer.text, names, answer.headers["location"], page.text))
    assert answers[0] == answers[1]
    while await sender.send_one():
        pass
    assert [mail["to"] for mail in catcher.mails] == [person]


async def test_five_tries_and_the_code_is_dead(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, person: str
) -> None:
    """The right code comes sixth and opens nothing."""
    browser = await open_browser()
    await ask(browser, person)
    await sender.send_one()
    code = catcher.code()
    for number in range(5):
        assert (await enter(browser, f"{(int(code) + 1 + number) % 10**6:06}")).status_code == 403
    assert (await enter(browser, code)).status_code == 410
    assert (await browser.get("/v1/me")).status_code == 401


async def test_guesses_in_parallel_are_five_in_all(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, person: str
) -> None:
    """Twenty at once: the database counts each before it is compared."""
    browser = await open_browser()
    await ask(browser, person)
    await sender.send_one()
    code = int(catcher.code())
    guesses = [f"{(code + 1 + number) % 10**6:06}" for number in range(20)]
    answers = await asyncio.gather(*(enter(browser, guess) for guess in guesses))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [403] * 5 + [410] * 15


async def test_the_right_code_twice_at_once_signs_in_once(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, admin: Admin, tenant: Tenant, person: str
) -> None:
    """One of the two gets the session."""
    browser = await open_browser()
    await ask(browser, person)
    await sender.send_one()
    before = await admin.fetchval("SELECT count(*) FROM sessions WHERE user_id = $1", tenant.user_id)
    answers = await asyncio.gather(*(enter(browser, catcher.code()) for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [303, 410]
    assert await admin.fetchval("SELECT count(*) FROM sessions WHERE user_id = $1", tenant.user_id) == before + 1


async def test_a_code_is_worth_nothing_in_another_browser(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, person: str
) -> None:
    """A code read out on the phone is not enough."""
    browser, other = await open_browser(), await open_browser()
    await ask(browser, person)
    await sender.send_one()
    await ask(other, person)
    assert (await enter(other, catcher.code())).status_code == 410


async def test_a_code_is_over_after_ten_minutes(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, admin: Admin, person: str
) -> None:
    """By the database's clock, from when the mail was sent."""
    browser = await open_browser()
    await ask(browser, person)
    await sender.send_one()
    left = "SELECT expires_at - now() FROM sign_in_codes WHERE email = $1 ORDER BY asked_at DESC LIMIT 1"
    assert 590 < (await admin.fetchval(left, person)).total_seconds() <= 601
    await admin.execute("UPDATE sign_in_codes SET expires_at = now() WHERE email = $1", person)
    assert (await enter(browser, catcher.code())).status_code == 410


async def test_a_mailbox_gets_few_codes_however_it_is_written(open_browser: OpenBrowser, person: str) -> None:
    """Tags and case are one mailbox, whatever addresses ask; another mailbox is served."""
    local, _, domain = person.partition("@")
    statuses = []
    for number in range(7):
        browser = await open_browser(f"198.51.100.{number}")
        statuses.append((await ask(browser, f"{local.upper()}+{number}@{domain}")).status_code)
    assert statuses == [303] * 5 + [429] * 2
    assert (await ask(await open_browser("198.51.100.99"), "other@example.com")).status_code == 303


async def test_one_network_asks_for_few_codes(open_browser: OpenBrowser) -> None:
    """A whole /64 counts as one client."""
    statuses = []
    for number in range(22):
        browser = await open_browser(f"2001:db8:1:1::{number + 1:x}")
        statuses.append((await ask(browser, f"someone{number}@example.com")).status_code)
    assert statuses == [303] * 20 + [429] * 2
    assert (await ask(await open_browser("2001:db8:1:2::1"), "another@example.com")).status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/%0d%0aset-cookie:a=b\r\nx",
        "http:evil.example",
        "///evil.example",
        "/" + "a" * 499 + "b",
    ],
)
async def test_no_way_leads_to_another_site(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, person: str, path: str
) -> None:
    """Open redirects: whatever `next` says, the person lands on a page of ours."""
    browser = await open_browser()
    page = await browser.get("/sign-in", params={"next": path})
    assert 'name="next" value="/"' in page.text
    answer = await ask(browser, person, next=path)
    if answer.status_code == 422:  # longer than any path of ours
        return
    await sender.send_one()
    assert (await enter(browser, catcher.code())).headers["location"] == "/"


async def test_no_secret_rests_in_the_database(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, admin: Admin, person: str
) -> None:
    """Before the mail there is no code at all, afterwards hashes."""
    browser = await open_browser()
    await ask(browser, person)
    row = await admin.fetchrow("SELECT * FROM sign_in_codes WHERE email = $1", person)
    assert row is not None
    assert (row["code_hash"], row["link_hash"]) == (None, None)
    await sender.send_one()
    row = await admin.fetchrow("SELECT * FROM sign_in_codes WHERE email = $1", person)
    assert row is not None
    assert catcher.code() not in str(row["code_hash"]).split("$")[1][:6]
    assert sign_in.code_fits(row["code_hash"], catcher.code())
    kept = "\n".join(str(dict(row)) for row in await admin.fetch("SELECT * FROM jobs WHERE job_type = 'mail'"))
    assert person not in kept


async def test_a_mail_that_is_not_taken_is_tried_again_with_a_new_code(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, admin: Admin, person: str
) -> None:
    """The server is away for a moment."""
    browser = await open_browser()
    await ask(browser, person)
    catcher.refuses = True
    with pytest.raises(Unavailable):
        await sender.send_one()
    catcher.refuses = False
    assert await sender.send_one()
    assert (await enter(browser, catcher.code())).status_code == 303


async def test_signing_out_ends_the_session(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, person: str
) -> None:
    """The cookie goes, and what it held opens nothing any more."""
    browser = await open_browser()
    await ask(browser, person)
    await sender.send_one()
    await enter(browser, catcher.code())
    held = dict(browser.cookies)
    assert (await browser.post("/sign-out")).headers["location"] == "/sign-in"
    browser.cookies.update(held)
    assert (await browser.get("/v1/me")).status_code == 401


async def test_a_proven_stranger_is_told_to_ask_for_an_invitation(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, admin: Admin, tenant: Tenant
) -> None:
    """The invitation is withdrawn between the mail and the code: no account is made, and no session begins."""
    browser, email = await open_browser(), f"{uuid4().hex[:8]}@example.com"
    await admin.execute("INSERT INTO invitations (tenant_id, email, role) VALUES ($1, $2, 'member')", tenant.id, email)
    await ask(browser, email)
    await sender.send_one()
    await admin.execute("UPDATE invitations SET withdrawn_at = now() WHERE email = $1", email)
    answer = await enter(browser, catcher.code())
    assert (answer.status_code, "No account here yet" in answer.text) == (403, True)
    assert "__Host-scopekit" not in browser.cookies
    assert not await admin.fetchval("SELECT EXISTS (SELECT FROM users WHERE email = $1)", email)


async def test_the_codes_page_without_a_request_leads_back(open_browser: OpenBrowser) -> None:
    """A bookmark of the second step begins at the first."""
    assert (await (await open_browser()).get("/sign-in/code")).headers["location"] == "/sign-in"


async def test_a_member_of_two_companies_comes_back_to_the_last(
    open_browser: OpenBrowser,
    sender: Sender,
    catcher: Catcher,
    admin: Admin,
    tenant: Tenant,
    other_tenant: Tenant,
    person: str,
) -> None:
    """A new session acts for the company of the newest one."""
    member = await make_member(admin, other_tenant)
    await admin.execute("UPDATE memberships SET user_id = $2 WHERE user_id = $1", member.user_id, tenant.user_id)
    await admin.execute(
        "UPDATE sessions SET user_id = $2, last_used_at = now() + interval '1 minute' WHERE user_id = $1",
        *(member.user_id, tenant.user_id),
    )
    browser = await open_browser()
    await ask(browser, person)
    await sender.send_one()
    await enter(browser, catcher.code())
    assert (await browser.get("/v1/me")).json()["tenant"]["id"] == str(other_tenant.id)
