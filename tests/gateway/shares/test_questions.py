"""A question is no verdict: both sides talk, the offer stays open, and the next version has the same link."""

from typing import Any

import httpx

from store.pool import Database
from tests.gateway.shares.documents import Customer, Visit, customer_of, make_share, open_share, save_next, share_now
from tests.tenants import Tenant


async def _ask(reader: Customer, question: str, name: str = "Maria") -> httpx.Response:
    form = {"question": question, "name": name}
    return await reader.http.post(f"{reader.url}/question", data=form, headers=reader.headers)


async def test_a_question_is_answered_and_the_offer_stays_open(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """Both see the thread; the news count its messages; the story and the visit's events name them."""
    share = await make_share(client, tenant, visit)
    reader = customer_of(client, share)
    await reader.open()
    assert (await _ask(reader, "Is the <gutter> painted?")).status_code == 303
    assert (await share_now(client, tenant, visit, share["id"]))["unanswered"] is True
    path = f"/v1/shares/{share['id']}/questions"
    answer = await client.post(path, json={"body": "Yes, in white."}, headers=tenant.headers)
    assert (answer.status_code, answer.headers["location"], answer.json()["body"]) == (201, path, "Yes, in white.")
    first = (await client.get(path, params={"limit": 1}, headers=tenant.headers)).json()
    rest = (await client.get(path, params={"after": first["next"]}, headers=tenant.headers)).json()
    assert [(row["kind"], row["name"], row["body"]) for row in first["questions"] + rest["questions"]] == [
        ("question", "Maria", "Is the <gutter> painted?"),
        ("answer", "", "Yes, in white."),
    ]
    assert (first["has_more"], rest["has_more"], rest["questions"][0]["id"]) == (True, False, answer.json()["id"])
    page = (await reader.look()).text
    assert "Is the &lt;gutter&gt; painted?" in page
    assert "Yes, in white." in page
    assert "Accept estimate" in page
    assert (await reader.look("/news")).json()["messages"] == 2
    thread = (await reader.look("/thread")).json()["messages"]
    assert [(row["body"], row["is_ours"]) for row in thread] == [
        ("Is the <gutter> painted?", False),
        ("Yes, in white.", True),
    ]
    assert (await share_now(client, tenant, visit, share["id"]))["unanswered"] is False
    story = (await client.get(f"/v1/shares/{share['id']}/timeline", headers=tenant.headers)).json()["events"]
    assert [event["kind"] for event in story] == ["opened", "question", "answer"]
    events = await admin.fetch("SELECT type FROM processing_events WHERE visit_id = $1 ORDER BY seq", visit.id)
    assert [event["type"] for event in events] == ["share.opened", "share.question", "share.answer"]
    assert (await reader.decide(visit)).status_code == 303


async def test_a_thread_is_its_own_shares(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, visit: Visit
) -> None:
    """Another recipient, another company and a closed page see and say nothing; an empty question is refused."""
    share = await make_share(client, tenant, visit)
    reader = customer_of(client, share)
    assert (await _ask(reader, "Before the door?")).status_code == 403
    assert (await reader.look("/thread")).status_code == 404
    await reader.open()
    assert (await _ask(reader, "  ")).status_code == 422
    await _ask(reader, "Only for you")
    neighbour = await open_share(client, tenant, visit, recipient="Neighbour")
    assert "Only for you" not in (await neighbour.look()).text
    path = f"/v1/shares/{share['id']}/questions"
    assert (await client.get(path, headers=other_tenant.headers)).status_code == 404
    refused = await client.post(path, json={"body": "Hello"}, headers=other_tenant.headers)
    assert refused.status_code == 404


async def test_requested_changes_come_as_the_next_version_under_the_same_link(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, service: Database
) -> None:
    """The customer asks for changes, the contractor sends the next version, and the open page can be accepted."""
    share = await make_share(client, tenant, visit)
    reader = customer_of(client, share)
    await reader.open()
    await reader.decide(visit, "changes_requested", message="Copper, please.")
    newer = await save_next(service, visit)
    path = f"/v1/shares/{share['id']}"
    early = {"estimate_id": str(visit.estimate["id"])}
    assert (await client.patch(path, json=early, headers=tenant.headers)).json()["code"] == "share_outdated"
    sent = await client.patch(path, json={"estimate_id": str(newer["id"])}, headers=tenant.headers)
    assert (sent.status_code, sent.json()["version"], sent.json()["decision"]) == (200, 2, None)
    assert sent.json()["status"] == "opened"
    assert (await reader.look("/news")).json() == {"version": 2, "newest": 2, "decision": None, "messages": 1}
    page = (await reader.look()).text
    assert "Copper, please." in page
    assert "Accept estimate" in page
    form = {"content_hash": newer["content_hash"]}
    assert (await reader.decide(visit, **form)).status_code == 303
    assert (await reader.decide(visit, "declined", **form)).status_code == 409
    story = (await client.get(f"{path}/timeline", headers=tenant.headers)).json()["events"]
    assert [event["kind"] for event in story] == ["opened", "changes_requested", "version", "accepted"]


async def test_what_was_accepted_stays_under_its_link(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, visit: Visit, service: Database
) -> None:
    """A newer version needs a link of its own then; a revoked link and another company's take none."""
    share = await make_share(client, tenant, visit)
    other = await make_share(client, tenant, visit)
    reader = customer_of(client, share)
    await reader.open()
    await reader.decide(visit)
    change = {"estimate_id": str((await save_next(service, visit))["id"])}
    refused = await client.patch(f"/v1/shares/{share['id']}", json=change, headers=tenant.headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "already_decided")
    await client.post(f"/v1/shares/{other['id']}/revoke", headers=tenant.headers)
    refused = await client.patch(f"/v1/shares/{other['id']}", json=change, headers=tenant.headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "share_revoked")
    foreign = await client.patch(f"/v1/shares/{other['id']}", json=change, headers=other_tenant.headers)
    assert foreign.status_code == 404
