"""A share's link by mail: what the customer gets, what the company sees of it, and what is kept."""

import re
from typing import Any

import httpx
import pytest

from gateway.shares.link_secrets import digest
from store.errors import Unavailable
from store.objects.objects import ObjectStore
from store.pool import Database
from tests.gateway.shares.documents import Visit, customer_of, make_share, save_next, share_now
from tests.support.mail_jobs import MailJobs
from tests.support.servers.mail_catcher import Catcher
from tests.tenants import Admin, Tenant, make_member

MARIA = "maria@example.com"


async def _mail(
    client: httpx.AsyncClient, tenant: Tenant, share: dict[str, Any], to: str = MARIA, **order: Any
) -> httpx.Response:
    return await client.post(f"/v1/shares/{share['id']}/mails", json={"to": to, **order}, headers=tenant.headers)


async def _story(client: httpx.AsyncClient, tenant: Tenant, share: dict[str, Any]) -> list[tuple[str, str]]:
    answer = await client.get(f"/v1/shares/{share['id']}/timeline", headers=tenant.headers)
    return [(event["kind"], event["detail"]) for event in answer.json()["events"]]


def _token(catcher: Catcher, number: int = -1) -> str:
    found = re.search(r"https://app\.example/e/(\S{43})\n", catcher.last(number))
    assert found is not None
    return found[1]


async def test_the_customer_gets_a_link_that_opens(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher
) -> None:
    """A link of the mail's own; the one that the company copied opens too, and both are one share."""
    share = await make_share(client, tenant, visit, recipient="Maria")
    answer = await _mail(client, tenant, share)
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert await _story(client, tenant, share) == [("mail_queued", MARIA)]
    await mail_jobs.send()
    token = _token(catcher)
    assert token != share["token"]
    mailed = customer_of(client, {"url": f"/e/{token}"})
    assert (await mailed.open()).status_code == 303
    assert (await customer_of(client, share).open()).status_code == 303
    assert (await share_now(client, tenant, visit, share["id"]))["views"] == 2
    assert ("mailed", MARIA) in await _story(client, tenant, share)


async def test_both_links_end_together(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher
) -> None:
    """A new link replaces the mailed one as well."""
    share = await make_share(client, tenant, visit)
    await _mail(client, tenant, share)
    await mail_jobs.send()
    rotated = await client.post(f"/v1/shares/{share['id']}/rotate", json={}, headers=tenant.headers)
    assert (await customer_of(client, {"url": f"/e/{_token(catcher)}"}).open()).status_code == 404
    assert (await customer_of(client, rotated.json()).open()).status_code == 303


async def test_the_letter_is_the_companys(
    client: httpx.AsyncClient,
    tenant: Tenant,
    visit: Visit,
    mail_jobs: MailJobs,
    catcher: Catcher,
    objects: ObjectStore,
    admin: Any,
) -> None:
    """Name, colour, logo, reply-to and words; no amount and no secret in the subject; words are never markup."""
    brand = {"business_name": "Able & Sons", "email": "able@sons.example", "accent": "#0a3d62", "phone": "555 0100"}
    words = {"mail_message": "It was <b>good</b> to meet you."}
    await client.patch("/v1/branding", json=brand | words, headers=tenant.headers)
    logo = f"{tenant.id}/brand/0123456789abcdef"
    await objects.put(logo, b"\xff\xd8\xff logo", content_type="image/jpeg")
    await admin.execute("UPDATE tenant_settings SET logo_path = $2 WHERE tenant_id = $1", tenant.id, logo)
    share = await make_share(client, tenant, visit, recipient="Maria", passcode="blue door")
    await _mail(client, tenant, share)
    await mail_jobs.send()
    mail, html, text = catcher.mails[-1], catcher.html(), catcher.last()
    assert mail["From"] == "Able & Sons <post@app.example>"
    assert (mail["Reply-To"], mail["To"]) == ("able@sons.example", MARIA)
    assert mail["Subject"] == "Your estimate from Able & Sons"
    assert "It was &lt;b&gt;good&lt;/b&gt; to meet you." in html
    assert "#0a3d62" in html
    assert 'src="cid:logo"' in html
    assert b"\xff\xd8\xff logo" in [
        part.get_content() for part in mail.walk() if part.get_content_type() == "image/jpeg"
    ]
    assert "It was <b>good</b> to meet you." in text
    assert "passcode" in text
    assert "blue door" not in text + html
    assert "555 0100" in text
    total = visit.estimate["total"]
    assert str(total) not in text + html


async def test_words_of_one_mail_go_before_the_companys(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher
) -> None:
    """The preview shows the same letter."""
    share = await make_share(client, tenant, visit)
    await _mail(client, tenant, share, message="As we said on Monday.")
    await mail_jobs.send()
    assert "As we said on Monday." in catcher.last()
    look = await client.get(
        f"/v1/shares/{share['id']}/mail-preview", params={"message": "As we said on Monday."}, headers=tenant.headers
    )
    without_link = re.sub(r'href="[^"]*"', "", catcher.html()).strip()
    assert re.sub(r'href="[^"]*"', "", look.text).strip() == without_link
    assert look.headers["x-frame-options"] == "SAMEORIGIN"
    assert "script" not in look.headers["content-security-policy"]


async def test_a_refused_address_is_told(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher, admin: Any
) -> None:
    """In the story, in the list, and on the visit's stream; nothing is tried again."""
    share = await make_share(client, tenant, visit)
    await _mail(client, tenant, share)
    catcher.answers = {"RCPT": ["550 5.1.1 No such user"]}
    await mail_jobs.send()
    reason = "The mail server does not know this address (550)."
    assert await _story(client, tenant, share) == [("mail_failed", f"{MARIA}: {reason}")]
    listed = await share_now(client, tenant, visit, share["id"])
    assert listed["mail"] == {"to": MARIA, "state": "failed", "reason": reason}
    told = await admin.fetchval(
        "SELECT payload FROM processing_events WHERE visit_id = $1 AND type = 'share.mailed'", visit.id
    )
    assert (told["share_id"], told["state"]) == (share["id"], "failed")
    assert await mail_jobs.send() == 0


async def test_every_try_is_one_message(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher, admin: Any
) -> None:
    """A try that broke off after the server had the mail: the second has its id, and the links of both open."""
    share = await make_share(client, tenant, visit)
    queued = (await _mail(client, tenant, share)).json()
    await mail_jobs.send()
    await admin.execute("UPDATE mails SET state = 'queued', settled_at = NULL WHERE id = $1", queued["id"])
    await admin.execute("UPDATE jobs SET status = 'queued', result = NULL, finished_at = NULL WHERE job_type = 'mail'")
    await mail_jobs.send()
    assert [mail["Message-ID"] for mail in catcher.mails] == [f"<{queued['id']}@app.example>"] * 2
    for number in range(2):
        assert (await customer_of(client, {"url": f"/e/{_token(catcher, number)}"}).open()).status_code == 303


async def test_a_mail_that_was_sent_is_not_sent_again(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher, admin: Any
) -> None:
    """The mail's row says so in the transaction that completes its job."""
    share = await make_share(client, tenant, visit)
    await _mail(client, tenant, share)
    await mail_jobs.send()
    await admin.execute("UPDATE jobs SET status = 'queued', result = NULL, finished_at = NULL WHERE job_type = 'mail'")
    await mail_jobs.send()
    assert len(catcher.mails) == 1


async def test_no_token_rests_anywhere(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher, admin: Any
) -> None:
    """Of the mailed link the database has the hash; jobs, mails and events have nothing of it."""
    share = await make_share(client, tenant, visit)
    await _mail(client, tenant, share)
    await mail_jobs.send()
    token = _token(catcher)
    for table in ("jobs", "mails", "shares", "processing_events", "share_tokens"):
        assert await admin.fetchval(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%' || $1 || '%'", token) == 0
    hashes = await admin.fetch("SELECT token_hash FROM share_tokens WHERE share_id = $1", share["id"])
    assert digest(token) in [row["token_hash"] for row in hashes]


async def test_a_link_that_ended_meanwhile_is_not_mailed(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher
) -> None:
    """Revoked between the order and the sending: the story says so."""
    share = await make_share(client, tenant, visit)
    await _mail(client, tenant, share)
    await client.post(f"/v1/shares/{share['id']}/revoke", headers=tenant.headers)
    await mail_jobs.send()
    assert catcher.mails == []
    assert ("mail_failed", f"{MARIA}: The link had ended before the mail went out.") in await _story(
        client, tenant, share
    )


async def test_a_server_that_is_away_loses_nothing(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher
) -> None:
    """Greylisted first: the mail stays queued and arrives at the second try."""
    share = await make_share(client, tenant, visit)
    await _mail(client, tenant, share)
    catcher.answers = {"RCPT": ["451 4.7.1 Greylisted"]}
    with pytest.raises(Exception, match="yet") as failure:
        await mail_jobs.send()
    assert isinstance(failure.value.__cause__, Unavailable)
    assert await _story(client, tenant, share) == [("mail_queued", MARIA)]
    await mail_jobs.send()
    assert len(catcher.mails) == 1


async def test_a_mail_whose_job_is_given_up_has_failed(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, admin: Any, service: Database
) -> None:
    """Its job lies among the dead letters; the story says why."""
    share = await make_share(client, tenant, visit)
    mail = (await _mail(client, tenant, share)).json()
    await admin.execute(
        "UPDATE jobs SET status = 'running', attempts = 25, lease_token = gen_random_uuid(), lease_expires_at = now(), "
        "last_error = 'The mail server did not take the mail.' WHERE id = $1",
        mail["id"],
    )
    async with service.as_system() as conn:
        await conn.execute("SELECT move_to_dlq($1, 'The mail server did not take the mail.')", mail["id"])
    assert await _story(client, tenant, share) == [("mail_failed", f"{MARIA}: The mail server did not take the mail.")]


@pytest.mark.parametrize(
    "to", ["maria", "maria@localhost", "a@example.com,b@example.com", "maria@example.com\nBcc: x@y.zz"]
)
async def test_what_is_no_address_is_refused(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, to: str
) -> None:
    """422, and nothing is queued."""
    share = await make_share(client, tenant, visit)
    assert (await _mail(client, tenant, share, to)).status_code == 422
    assert await mail_jobs.send() == 0


async def test_links_that_are_over_and_others_links_are_not_mailed(
    client: httpx.AsyncClient,
    tenant: Tenant,
    other_tenant: Tenant,
    visit: Visit,
    service: Database,
    mail_jobs: MailJobs,
    admin: Any,
) -> None:
    """404 for another tenant, 403 for a viewer, 409 for an earlier version and for a revoked link."""
    share = await make_share(client, tenant, visit)
    viewer = await make_member(admin, tenant, "viewer")
    assert (await _mail(client, other_tenant, share)).status_code == 404
    assert (await _mail(client, viewer, share)).status_code == 403
    newest = await save_next(service, visit)
    outdated = await _mail(client, tenant, share)
    assert (outdated.status_code, outdated.json()["newest_id"]) == (409, str(newest["id"]))
    await client.post(f"/v1/shares/{share['id']}/revoke", headers=tenant.headers)
    assert (await _mail(client, tenant, share)).json()["code"] == "share_closed"
    assert await mail_jobs.send() == 0


async def test_a_company_sends_so_many_a_day(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, visit: Visit, mail_jobs: MailJobs, admin: Any
) -> None:
    """429 past its limit, and nothing is queued for the refused; a mailbox has a smaller one of its own."""
    share = await make_share(client, tenant, visit)
    answers = [await _mail(client, tenant, share, f"c{number}@example.com") for number in range(11)]
    assert [answer.status_code for answer in answers] == [202] * 10 + [429]
    assert await admin.fetchval("SELECT count(*) FROM mails WHERE tenant_id = $1", tenant.id) == 10


async def test_one_mailbox_is_not_flooded(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs
) -> None:
    """Five mails at once to one mailbox, whatever its tag."""
    share = await make_share(client, tenant, visit)
    answers = [await _mail(client, tenant, share, f"maria+{number}@example.com") for number in range(6)]
    assert [answer.status_code for answer in answers] == [202] * 5 + [429]


async def test_without_a_mail_server_the_link_is_still_there(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, app: Any
) -> None:
    """409 with words; the link can be copied as before."""
    context = app.state.context
    object.__setattr__(context, "settings", context.settings.model_copy(update={"mail_url": None}))
    share = await make_share(client, tenant, visit)
    assert (await _mail(client, tenant, share)).json()["code"] == "no_mail_server"


async def test_a_mail_of_a_test_company_does_not_leave(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, mail_jobs: MailJobs, catcher: Catcher, admin: Admin
) -> None:
    """It is made and noted as mailed, so that an integrator sees the whole story; `/v1/me` marks the company."""
    assert not (await client.get("/v1/me", headers=tenant.headers)).json()["tenant"]["is_test"]
    await admin.execute("UPDATE tenants SET is_test = true WHERE id = $1", tenant.id)
    before = len(catcher.mails)
    share = await make_share(client, tenant, visit, recipient="Maria")
    assert (await _mail(client, tenant, share)).status_code == 202
    await mail_jobs.send()
    assert await _story(client, tenant, share) == [("mailed", MARIA)]
    assert len(catcher.mails) == before
    assert (await client.get("/v1/me", headers=tenant.headers)).json()["tenant"]["is_test"]
