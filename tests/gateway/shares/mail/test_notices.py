"""Mails to the company's own people: who gets which, and what they say."""

import io
from typing import Any

import httpx
import pytest
from pypdf import PdfReader

from gateway.accounts.you import NotificationsForm
from store.mail import notices
from store.pool import Database
from tests.gateway.shares.documents import Visit, customer_of, make_share, open_share
from tests.support.mail_jobs import MailJobs
from tests.support.servers.mail_catcher import Catcher
from tests.tenants import Tenant, make_member


async def _reachable(admin: Any, person: Tenant, address: str) -> None:
    await admin.execute(
        "UPDATE users SET email = $2 WHERE id = $1", person.user_id, f"{address}-{person.user_id}@x.example"
    )


async def _choose(db: Database, person: Tenant, **choices: str) -> None:
    async with db.as_user(person.claims) as conn:
        assert await conn.fetchval("SELECT scopekit.choose_notifications($1)", choices)


def _received(catcher: Catcher) -> list[tuple[str, str]]:
    return sorted((str(mail["To"]).split("-", 1)[0], str(mail["Subject"])) for mail in catcher.mails)


async def test_the_first_opening_is_told_once(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher, admin: Any
) -> None:
    """A second opening is no news."""
    await _reachable(admin, tenant, "owner")
    share = await make_share(client, tenant, visit, recipient="Maria")
    for _ in range(2):
        await customer_of(client, share).open()
    await mail_jobs.send()
    assert _received(catcher) == [("owner", "Opened: Porch repair")]
    assert "Maria opened your estimate for Porch repair." in catcher.last()
    assert f"https://app.example/#visit={visit.id}" in catcher.last()


@pytest.mark.parametrize(
    ("decision", "subject"),
    [
        ("accepted", "Accepted: Porch repair"),
        ("declined", "Declined: Porch repair"),
        ("changes_requested", "Changes asked for: Porch repair"),
    ],
)
async def test_each_answer_is_told(
    client: httpx.AsyncClient,
    tenant: Tenant,
    visit: Visit,
    mail_jobs: MailJobs,
    catcher: Catcher,
    admin: Any,
    decision: str,
    subject: str,
) -> None:
    """With the customer's own words in the mail, and no name in the subject."""
    await _reachable(admin, tenant, "owner")
    customer = await open_share(client, tenant, visit)
    answer = await customer.decide(visit, decision, message="The <i>gutter</i> too, please.")
    assert answer.status_code == 303
    await mail_jobs.send()
    assert (str(catcher.mails[-1]["Subject"]), len(catcher.mails)) == (subject, 2)
    assert "> The <i>gutter</i> too, please." in catcher.last()
    assert "The &lt;i&gt;gutter&lt;/i&gt; too, please." in catcher.html()
    assert "Jane Doe" in catcher.last()
    files = [file for file in catcher.mails[-1].iter_attachments() if file.get_content_type() == "application/pdf"]
    assert len(files) == (decision == "accepted")
    for file in files:
        pages = PdfReader(io.BytesIO(file.get_content())).pages
        assert "Jane Doe" in "".join(page.extract_text() for page in pages)


async def test_a_question_is_told(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher, admin: Any
) -> None:
    """Each in a mail of its own, with its own words; an answer of the company is no news to it."""
    await _reachable(admin, tenant, "owner")
    share = await make_share(client, tenant, visit)
    for kind, body in (("question", "When can you start?"), ("answer", "In May."), ("question", "Not sooner?")):
        await admin.execute(
            "INSERT INTO share_questions (tenant_id, share_id, kind, name, body) VALUES ($1, $2, $3, 'Maria', $4)",
            tenant.id,
            share["id"],
            kind,
            body,
        )
    await mail_jobs.send()
    assert _received(catcher) == [("owner", "A question: Porch repair")] * 2
    assert "> When can you start?" in catcher.last(0)
    assert "> Not sooner?" in catcher.last(1)


async def test_a_failed_estimate_is_told(
    tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher, admin: Any
) -> None:
    """When its job is given up, however that comes about."""
    await _reachable(admin, tenant, "owner")
    job = await admin.fetchval(
        "INSERT INTO jobs (job_type, tenant_id, visit_id, attempts) VALUES ('estimate', $1, $2, 3) RETURNING id",
        tenant.id,
        visit.id,
    )
    await admin.execute("SELECT move_to_dlq($1, 'No engine')", job)
    await mail_jobs.send()
    assert _received(catcher) == [("owner", "Not estimated: Porch repair")]


async def test_each_person_chooses(
    client: httpx.AsyncClient,
    tenant: Tenant,
    visit: Visit,
    mail_jobs: MailJobs,
    catcher: Catcher,
    admin: Any,
    db: Database,
) -> None:
    """Usually an owner gets everything and others their own; `off`, `mine` and `all` go before that."""
    maker = await make_member(admin, tenant)
    other = await make_member(admin, tenant)
    curious = await make_member(admin, tenant, "viewer")
    people = {"owner": tenant, "maker": maker, "other": other, "curious": curious}
    for name, person in people.items():
        await _reachable(admin, person, name)
    await _choose(db, tenant, opened="off")
    await _choose(db, curious, opened="all")
    await open_share(client, maker, visit)
    await mail_jobs.send()
    assert [name for name, _ in _received(catcher)] == ["curious", "maker"]


async def test_a_link_that_nobody_here_made_is_the_owners(
    client: httpx.AsyncClient,
    tenant: Tenant,
    visit: Visit,
    mail_jobs: MailJobs,
    catcher: Catcher,
    admin: Any,
    db: Database,
) -> None:
    """One by somebody who has left, with an owner who wants their own alone."""
    maker = await make_member(admin, tenant)
    await _reachable(admin, tenant, "owner")
    await _choose(db, tenant, opened="mine")
    share = await make_share(client, maker, visit)
    await admin.execute("DELETE FROM memberships WHERE user_id = $1", maker.user_id)
    await customer_of(client, share).open()
    await mail_jobs.send()
    assert [name for name, _ in _received(catcher)] == ["owner"]


async def test_who_leaves_meanwhile_gets_nothing(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher, admin: Any
) -> None:
    """Neither does news of days ago go out."""
    maker = await make_member(admin, tenant)
    await _reachable(admin, maker, "maker")
    await _reachable(admin, tenant, "owner")
    await open_share(client, maker, visit)
    await admin.execute("DELETE FROM memberships WHERE user_id = $1", maker.user_id)
    await admin.execute(
        "UPDATE mails SET queued_at = now() - interval '4 days' WHERE user_id = $1 AND tenant_id = $2",
        tenant.user_id,
        tenant.id,
    )
    await mail_jobs.send()
    assert catcher.mails == []
    reasons = await admin.fetch("SELECT reason FROM mails WHERE tenant_id = $1 AND state = 'failed'", tenant.id)
    assert len(reasons) == 2


async def test_notices_are_not_shown_to_other_members(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, admin: Any, db: Database
) -> None:
    """A share's story has the customer's mails alone."""
    await _reachable(admin, tenant, "owner")
    await open_share(client, tenant, visit)
    async with db.as_user(tenant.claims) as conn:
        assert await conn.fetchval("SELECT count(*) FROM mails") == 0


def test_every_topic_can_be_chosen() -> None:
    """The form has a field for each."""
    assert list(NotificationsForm.model_fields) == list(notices.TOPICS)


async def test_reminders_are_at_most_two(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher, admin: Any
) -> None:
    """After the company's days without an opening; the text says so, and its link opens."""
    share = await make_share(client, tenant, visit, expires_in=30 * 86_400)
    await client.post(f"/v1/shares/{share['id']}/mails", json={"to": "maria@example.com"}, headers=tenant.headers)
    await mail_jobs.send()
    sent = []
    for _ in range(4):
        await admin.execute(
            "UPDATE mails SET queued_at = queued_at - interval '2 days' WHERE share_id = $1", share["id"]
        )
        early = await admin.fetchval("SELECT scopekit.queue_reminders()")
        await admin.execute(
            "UPDATE mails SET queued_at = queued_at - interval '2 days' WHERE share_id = $1", share["id"]
        )
        sent.append((early, await admin.fetchval("SELECT scopekit.queue_reminders()")))
        await mail_jobs.send()
    assert sent == [(0, 1), (0, 1), (0, 0), (0, 0)]
    assert [str(mail["Subject"]).split(":")[0] for mail in catcher.mails[1:]] == ["A reminder"] * 2
    assert "still waiting for you" in catcher.last()


@pytest.mark.parametrize("case", ["off", "answered", "revoked", "never", "outdated", "opened"])
async def test_no_reminder_where_none_is_wanted(
    client: httpx.AsyncClient,
    tenant: Tenant,
    visit: Visit,
    mail_jobs: MailJobs,
    admin: Any,
    service: Database,
    case: str,
) -> None:
    """Turned off for the link or the company, answered, over, replaced, or opened a day ago."""
    share = await make_share(client, tenant, visit, expires_in=30 * 86_400)
    await client.post(f"/v1/shares/{share['id']}/mails", json={"to": "maria@example.com"}, headers=tenant.headers)
    await mail_jobs.send()
    await admin.execute("UPDATE mails SET queued_at = queued_at - interval '4 days' WHERE share_id = $1", share["id"])
    if case == "off":
        answer = await client.patch(f"/v1/shares/{share['id']}", json={"reminders": False}, headers=tenant.headers)
        assert answer.json()["reminders"] is False
    elif case == "answered":
        customer = customer_of(client, share)
        await customer.open()
        await customer.decide(visit, "declined")
    elif case == "revoked":
        await client.post(f"/v1/shares/{share['id']}/revoke", headers=tenant.headers)
    elif case == "never":
        await admin.execute("UPDATE tenant_settings SET remind_unopened_days = NULL WHERE tenant_id = $1", tenant.id)
    elif case == "outdated":
        async with service.as_system() as conn:
            from store.estimates import estimates

            await estimates.save_version(conn, visit.new)
    else:
        await customer_of(client, share).open()
    assert await admin.fetchval("SELECT scopekit.queue_reminders()") == 0
