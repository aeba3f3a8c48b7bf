"""The customer's answer: once, on what they read, and told to the contractor."""

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from store.estimates import estimates
from store.pool import Database
from tests.gateway.shares.documents import Visit, customer_of, make_share, open_share, save_next, share_now
from tests.support.waiting import until_somebody_waits_for
from tests.tenants import Tenant


async def _status(admin: Any, visit: Visit) -> str:
    status: str = await admin.fetchval("SELECT status FROM estimates WHERE id = $1", visit.estimate["id"])
    return status


@pytest.mark.parametrize(
    ("decision", "form", "shown"),
    [
        ("accepted", {"name": "Jane Doe"}, "Accepted"),
        ("declined", {"name": "Jane Doe", "message": "Too dear"}, "Declined"),
        ("changes_requested", {"name": "", "message": "Copper, please\r\nand soon"}, "Changes requested"),
    ],
)
async def test_an_answer_is_recorded_and_shown(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any, decision: str, form: dict[str, str], shown: str
) -> None:
    """It is kept with version and content hash, changes the estimate's status, and the page shows it for good."""
    reader = await open_share(client, tenant, visit)
    answer = await reader.decide(visit, decision, **form)
    assert (answer.status_code, await _status(admin, visit)) == (303, decision)
    row = await admin.fetchrow("SELECT * FROM share_decisions WHERE estimate_id = $1", visit.estimate["id"])
    assert (row["decision"], row["name"], row["estimate_version"]) == (decision, form["name"], 1)
    assert row["message"] == form.get("message", "").replace("\r\n", "\n")
    assert row["content_hash"] == visit.estimate["content_hash"]
    page = (await reader.look()).text
    assert f"<strong>{shown}</strong>" in page
    assert "/decision" not in page


async def test_the_contractor_sees_it_live_and_in_the_list(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """The visit's stream gets share.decided, and the share carries the decision."""
    share = await make_share(client, tenant, visit, recipient="Maria")
    reader = customer_of(client, share)
    await reader.open()
    await reader.decide(visit, "declined", message="Too dear")
    payload = await admin.fetchval(
        "SELECT payload FROM processing_events WHERE type = 'share.decided' AND visit_id = $1", visit.id
    )
    assert (payload["share_id"], payload["decision"], payload["recipient"]) == (share["id"], "declined", "Maria")
    decision = (await share_now(client, tenant, visit, share["id"]))["decision"]
    assert (decision["decision"], decision["name"], decision["message"]) == ("declined", "Jane Doe", "Too dear")


async def test_of_many_answers_at_once_one_counts(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """Fifty answers from five recipients at the same moment: one is recorded, the others hear that one was."""
    readers = [await open_share(client, tenant, visit, recipient=f"Recipient {number}") for number in range(5)]
    decisions = ["accepted", "declined"] * 25
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(readers[n % 5].decide(visit, what) for n, what in enumerate(decisions)))
    assert Counter(answer.status_code for answer in answers) == {303: 1, 409: 49}
    won = decisions[[answer.status_code for answer in answers].index(303)]
    assert await _status(admin, visit) == won
    counts = await admin.fetchrow(
        "SELECT (SELECT count(*) FROM share_decisions WHERE estimate_id = $1) AS rows, "
        "(SELECT count(*) FROM processing_events WHERE visit_id = $2 AND type = 'share.decided') AS events",
        visit.estimate["id"],
        visit.id,
    )
    assert (counts["rows"], counts["events"]) == (1, 1)


async def test_what_was_written_stays_between_its_writer_and_the_contractor(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """A second recipient sees that and by whom it was answered, but not the message."""
    writer, other = [await open_share(client, tenant, visit) for _ in range(2)]
    await writer.decide(visit, "declined", message="Your cousin is cheaper")
    assert "Your cousin is cheaper" in (await writer.look()).text
    page = (await other.look()).text
    assert "<strong>Declined</strong>" in page
    assert "cousin" not in page


async def test_a_newer_version_makes_the_old_one_undecidable(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, service: Database, admin: Any
) -> None:
    """The page open at the customer's still reads, says a newer version exists, and can no longer be accepted."""
    reader = await open_share(client, tenant, visit)
    await save_next(service, visit)
    answer = await reader.decide(visit)
    assert (answer.status_code, await _status(admin, visit)) == (409, "draft")
    assert "have changed since you opened it" in answer.text
    page = (await reader.look()).text
    assert "This estimate was updated." in page
    assert "/decision" not in page


async def test_an_answer_to_other_content_is_refused(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """The hash in the form is what the customer read; another one is not this document."""
    reader = await open_share(client, tenant, visit)
    answer = await reader.decide(visit, content_hash="0" * 64)
    assert (answer.status_code, await _status(admin, visit)) == (409, "draft")


async def test_an_edit_and_an_acceptance_never_pass_each_other(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, service: Database, admin: Any
) -> None:
    """Raced against each other, an acceptance is recorded only if it came before the newer version."""
    reader = await open_share(client, tenant, visit)
    async with service.as_system() as conn:
        await conn.execute("SELECT 1 FROM site_visits WHERE id = $1 FOR NO KEY UPDATE", visit.id)
        answering = asyncio.create_task(reader.decide(visit))
        await until_somebody_waits_for(conn.get_server_pid(), admin)
        await estimates.save_version(conn, visit.new)
    assert (await answering).status_code == 409
    assert await _status(admin, visit) == "draft"


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"decision": "accepted", "name": "  "}, "Enter your name"),
        ({"decision": "changes_requested", "message": " "}, "Tell us what should change"),
        ({"decision": "maybe"}, "Decision"),
        ({"decision": "accepted", "content_hash": "short"}, "Content hash"),
        ({"decision": "accepted", "name": "x" * 201}, "name"),
    ],
)
async def test_an_incomplete_answer_says_what_is_missing(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any, form: dict[str, str], words: str
) -> None:
    """Nothing is recorded, and the page leads back to the estimate."""
    reader = await open_share(client, tenant, visit)
    answer = await reader.decide(visit, **form)
    assert answer.status_code == 422
    assert words in answer.text
    assert "Back to the estimate" in answer.text
    assert await _status(admin, visit) == "draft"


async def test_without_a_session_nobody_answers(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """The link alone is not enough: the door comes back, and says that nothing was sent."""
    share = await make_share(client, tenant, visit)
    answer = await customer_of(client, share).decide(visit)
    assert answer.status_code == 403
    assert "Reopen the link" in answer.text
    assert await _status(admin, visit) == "draft"


async def test_another_sites_page_cannot_answer(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """Even with the session's cookie a form of another site is refused."""
    reader = await open_share(client, tenant, visit)
    reader.headers["sec-fetch-site"] = "cross-site"
    assert (await reader.decide(visit)).status_code == 403
    assert await _status(admin, visit) == "draft"


async def test_a_revocation_on_the_way_wins(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """An answer that waits while its link is revoked is not recorded."""
    reader = await open_share(client, tenant, visit)
    share_id = await admin.fetchval("SELECT id FROM shares WHERE visit_id = $1", visit.id)
    async with admin.transaction():
        await admin.execute("SELECT 1 FROM site_visits WHERE id = $1 FOR UPDATE", visit.id)
        answering = asyncio.create_task(reader.decide(visit))
        await until_somebody_waits_for(admin.get_server_pid(), admin)
        await admin.execute("UPDATE shares SET revoked_at = now() WHERE id = $1", share_id)
    assert (await answering).status_code == 403
    assert await _status(admin, visit) == "draft"
