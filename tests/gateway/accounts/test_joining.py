"""Invitations, and what people of a company may do with each other."""

import asyncio
from uuid import uuid4

import pytest

from store.accounts.memberships import Role
from store.errors import Conflict, Forbidden, NotFound
from store.people import people
from store.pool import Database
from tests.gateway.accounts.conftest import OpenBrowser, Sender
from tests.support.servers.mail_catcher import Catcher
from tests.tenants import Admin, Tenant, make_member, make_tenant


def address() -> str:
    """An address that nobody has."""
    return f"{uuid4().hex[:8]}@example.com"


async def invite(db: Database, tenant: Tenant, email: str, role: Role = "member") -> None:
    """Have a tenant's user invite an address."""
    async with db.as_user(tenant.claims) as conn:
        await people.invite(conn, email, role)


async def test_an_invitation_by_mail_makes_a_member(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, db: Database, tenant: Tenant
) -> None:
    """Its link makes the account, signs in, and works once."""
    email = address()
    await invite(db, tenant, email, "viewer")
    await sender.send_one()
    assert catcher.mails[-1]["to"] == email
    browser, link = await open_browser(), catcher.link()
    assert "Join Tenant" in (await browser.get(link)).text
    answer = await browser.post("/join", data={"token": link.rpartition("/")[2]})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    me = (await browser.get("/v1/me")).json()
    assert (me["tenant"]["id"], me["role"]) == (str(tenant.id), "viewer")
    again = await (await open_browser()).post("/join", data={"token": link.rpartition("/")[2]})
    assert (again.status_code, "set-cookie" in again.headers) == (410, False)


async def test_a_link_twice_at_once_joins_once(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, db: Database, tenant: Tenant
) -> None:
    """Invitation reuse: of two who hold the link, one gets in."""
    await invite(db, tenant, address())
    await sender.send_one()
    token = catcher.link().rpartition("/")[2]
    browsers = [await open_browser() for _ in range(2)]
    answers = await asyncio.gather(*(browser.post("/join", data={"token": token}) for browser in browsers))
    signed_in = [answer for answer in answers if "set-cookie" in answer.headers]
    assert len(signed_in) == 1


async def test_a_link_does_not_enter_an_account_that_exists(
    open_browser: OpenBrowser,
    sender: Sender,
    catcher: Catcher,
    db: Database,
    admin: Admin,
    tenant: Tenant,
    other_tenant: Tenant,
) -> None:
    """It leads to the sign-in page: what is forwarded for a week is no key to the person's other companies."""
    email = address()
    await admin.execute("UPDATE users SET email = $2 WHERE id = $1", other_tenant.user_id, email)
    await invite(db, tenant, email)
    await sender.send_one()
    browser, link = await open_browser(), catcher.link()
    assert "Sign in to accept" in (await browser.get(link)).text
    answer = await browser.post("/join", data={"token": link.rpartition("/")[2]})
    assert (answer.headers["location"], "set-cookie" in answer.headers) == ("/sign-in", False)
    await browser.post("/sign-in/email", data={"email": email})
    await sender.send_one()
    await browser.post("/sign-in/code", data={"code": catcher.code()})
    role = "SELECT role FROM memberships WHERE tenant_id = $1 AND user_id = $2"
    assert await admin.fetchval(role, tenant.id, other_tenant.user_id) == "member"


async def test_a_withdrawn_or_old_invitation_lets_nobody_in(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, db: Database, admin: Admin, tenant: Tenant
) -> None:
    """410, and no account is made by a code either."""
    for ending in ("withdrawn_at = now()", "expires_at = now()"):
        email = address()
        await invite(db, tenant, email)
        await sender.send_one()
        await admin.execute(f"UPDATE invitations SET {ending} WHERE email = $1", email)
        browser = await open_browser()
        assert (await browser.get(catcher.link())).status_code == 410
        sent = len(catcher.mails)
        await browser.post("/sign-in/email", data={"email": email})
        await sender.send_one()
        assert len(catcher.mails) == sent


async def test_a_second_invitation_renews_the_first(
    open_browser: OpenBrowser, sender: Sender, catcher: Catcher, db: Database, tenant: Tenant
) -> None:
    """One open offer an address; the link before is dead."""
    email = address()
    await invite(db, tenant, email)
    await sender.send_one()
    first = catcher.link()
    await invite(db, tenant, email, "admin")
    await sender.send_one()
    browser = await open_browser()
    assert (await browser.get(first)).status_code == 410
    assert "as an admin" in (await browser.get(catcher.link())).text


async def test_who_may_invite_change_and_remove(db: Database, admin: Admin, tenant: Tenant) -> None:
    """Admins manage people, owners alone owners; everybody may leave, but for the last owner."""
    member, second = await make_member(admin, tenant), await make_member(admin, tenant, "admin")
    with pytest.raises(Forbidden):
        await invite(db, member, address())
    with pytest.raises(Forbidden):
        await invite(db, second, address(), "owner")
    await invite(db, second, address())
    for caller, user, role, refusal in (
        (member, second, "viewer", Forbidden),
        (second, tenant, None, Forbidden),
        (second, member, "owner", Forbidden),
        (tenant, tenant, "member", Conflict),
        (tenant, tenant, None, Conflict),
    ):
        async with db.as_user(caller.claims) as conn:
            with pytest.raises(refusal):
                await people.change(conn, user.user_id, role)  # type: ignore[arg-type]
    async with db.as_user(member.claims) as conn:
        await people.change(conn, member.user_id, None)
    async with db.as_user(tenant.claims) as conn:
        await people.change(conn, second.user_id, "owner")
        await people.change(conn, tenant.user_id, None)
    assert await admin.fetchval("SELECT count(*) FROM memberships WHERE tenant_id = $1", tenant.id) == 1


async def test_two_owners_who_leave_at_once_leave_one(service: Database, admin: Admin, tenant: Tenant) -> None:
    """The owners' rows are locked before they are counted."""
    second = await make_member(admin, tenant, "owner")

    async def leave(user_id: object) -> str:
        async with service.as_system() as conn:
            return str(await conn.fetchval("SELECT scopekit.change_person($1, $2, NULL)", tenant.id, user_id))

    outcomes = await asyncio.gather(leave(tenant.user_id), leave(second.user_id))
    assert sorted(outcomes) == ["done", "last_owner"]


async def test_another_companys_people_are_out_of_reach(
    db: Database, admin: Admin, tenant: Tenant, other_tenant: Tenant
) -> None:
    """An owner changes, withdraws and sees their own alone."""
    await invite(db, tenant, address())
    invitation = await admin.fetchval("SELECT id FROM invitations WHERE tenant_id = $1", tenant.id)
    async with db.as_user(other_tenant.claims) as conn:
        with pytest.raises(NotFound):
            await people.withdraw(conn, invitation)
        with pytest.raises(NotFound):
            await people.change(conn, tenant.user_id, "viewer")
        assert {row["user_id"] for row in await people.people(conn)} == {other_tenant.user_id}
        assert await people.invitations(conn) == []


async def test_an_invitation_of_a_test_company_is_not_mailed(
    sender: Sender, catcher: Catcher, db: Database, admin: Admin
) -> None:
    """The job is done and nothing has left."""
    tenant = await make_tenant(admin)
    await admin.execute("UPDATE tenants SET is_test = true WHERE id = $1", tenant.id)
    before = len(catcher.mails)
    await invite(db, tenant, address())
    assert await sender.send_one()
    assert len(catcher.mails) == before
