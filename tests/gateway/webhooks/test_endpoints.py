"""Webhook endpoints over HTTP: made by administrators, their secrets shown once, their log read and repeated."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from store.webhooks.catalogue import CHOICES
from tests.tenants import Admin, Tenant, make_member

PATH = "/v1/webhook-endpoints"
URL = "https://crm.example.com/hook"


async def _make(client: httpx.AsyncClient, tenant: Tenant, **changes: Any) -> dict[str, Any]:
    body = {"url": URL, "event_types": ["visit.created", "share.accepted"], **changes}
    answer = await client.post(PATH, json=body, headers=tenant.headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_endpoint_is_made_read_changed_and_deleted(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """The secret is in the first answer alone."""
    made = await _make(client, tenant, description="CRM")
    assert made["secret"].startswith("whsec_")
    assert (made["status"], made["reason"]) == ("active", "")
    address = f"{PATH}/{made['id']}"
    read = (await client.get(address, headers=tenant.headers)).json()
    assert read == {name: value for name, value in made.items() if name != "secret"}
    assert (await client.get(PATH, headers=tenant.headers)).json() == {"webhook_endpoints": [read]}
    paused = await client.patch(address, json={"status": "paused"}, headers=tenant.headers)
    assert (paused.json()["status"], paused.json()["reason"]) == ("paused", "by_hand")
    named = await client.patch(address, json={"description": "Books"}, headers=tenant.headers)
    assert (named.json()["reason"], named.json()["description"]) == ("by_hand", "Books")
    active = await client.patch(address, json={"status": "active"}, headers=tenant.headers)
    assert (active.json()["status"], active.json()["reason"]) == ("active", "")
    assert (await client.delete(address, headers=tenant.headers)).status_code == 204
    assert (await client.get(address, headers=tenant.headers)).status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "http://crm.example.com/",
        "ftp://crm.example.com/",
        "https://",
        "https://user:word@crm.example.com/",
        "https://crm.example.com/#part",
        "https://crm.example.com:0/",
        "https://127.0.0.1/",
        "https://[::ffff:169.254.169.254]/",
        "https://crm.example.com/a b",
        "https://crm.exämple.com/",
    ],
)
async def test_address_that_cannot_be_a_receiver_is_refused(
    client: httpx.AsyncClient, tenant: Tenant, url: str
) -> None:
    """With a sentence at the field, when it is made and when it is changed."""
    answer = await client.post(PATH, json={"url": url, "event_types": [*CHOICES]}, headers=tenant.headers)
    assert answer.status_code == 422
    made = await _make(client, tenant)
    change = await client.patch(f"{PATH}/{made['id']}", json={"url": url}, headers=tenant.headers)
    assert [error["field"] for error in change.json()["errors"]] == ["url"]


async def test_unknown_event_type_is_refused(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """And named."""
    answer = await client.post(PATH, json={"url": URL, "event_types": ["visit.eaten"]}, headers=tenant.headers)
    assert answer.status_code == 422
    assert "visit.eaten" in answer.json()["errors"][0]["message"]


async def test_members_and_other_companies_see_nothing(
    client: httpx.AsyncClient, admin: Admin, tenant: Tenant, other_tenant: Tenant
) -> None:
    """A member is refused; for another company's administrator there is no such endpoint."""
    made = await _make(client, tenant)
    member = await make_member(admin, tenant)
    assert (await client.get(PATH, headers=member.headers)).status_code == 403
    address = f"{PATH}/{made['id']}"
    for method, path in [
        ("GET", address), ("PATCH", address), ("DELETE", address), ("POST", f"{address}/test"),
        ("POST", f"{address}/rotate-secret"), ("POST", f"{address}/redeliver"), ("GET", f"{address}/deliveries"),
    ]:  # fmt: skip
        body = {"since": "2026-01-01T00:00:00Z"} if path.endswith("/redeliver") else {}
        answer = await client.request(method, path, json=body, headers=other_tenant.headers)
        assert answer.status_code == 404, (method, path)
    assert (await client.get(PATH, headers=other_tenant.headers)).json() == {"webhook_endpoints": []}


async def test_rows_are_hidden_from_members_in_the_database_too(
    client: httpx.AsyncClient, admin: Admin, tenant: Tenant, db: Any
) -> None:
    """And nobody but the worker reads a secret."""
    await _make(client, tenant)
    member = await make_member(admin, tenant)
    async with db.as_user(member.claims) as conn:
        assert await conn.fetch("SELECT id FROM webhook_endpoints") == []
    with pytest.raises(Exception, match="permission denied"):
        async with db.as_user(tenant.claims) as conn:
            await conn.fetch("SELECT secret FROM webhook_secrets")


async def test_a_company_has_at_most_twenty(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """The next is refused with its own code."""
    for _ in range(20):
        await _make(client, tenant)
    answer = await client.post(PATH, json={"url": URL, "event_types": ["visit.created"]}, headers=tenant.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_endpoints")


async def test_key_makes_one_endpoint_and_gives_its_secret_again(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """A repeated POST makes no second one."""
    headers = {**tenant.headers, "idempotency-key": str(uuid4())}
    body = {"url": URL, "event_types": ["visit.created"]}
    first = await client.post(PATH, json=body, headers=headers)
    again = await client.post(PATH, json=body, headers=headers)
    assert again.json() == first.json()
    assert len((await client.get(PATH, headers=tenant.headers)).json()["webhook_endpoints"]) == 1


async def test_secret_is_rotated(client: httpx.AsyncClient, admin: Admin, tenant: Tenant) -> None:
    """A new one, and the old one for a day; a second rotation keeps two."""
    made = await _make(client, tenant)
    secrets = [(await client.post(f"{PATH}/{made['id']}/rotate-secret", headers=tenant.headers)) for _ in range(2)]
    assert len({made["secret"], *(answer.json()["secret"] for answer in secrets)}) == 3
    kept = await admin.fetch("SELECT expires_at FROM webhook_secrets WHERE endpoint_id = $1::uuid", made["id"])
    assert sorted(row["expires_at"] is None for row in kept) == [False, True]


async def test_test_event_is_queued_seen_in_the_log_and_repeated(
    client: httpx.AsyncClient, admin: Admin, tenant: Tenant
) -> None:
    """202 with the delivery; it can be made again once it has an end, under the same id."""
    made = await _make(client, tenant)
    answer = await client.post(f"{PATH}/{made['id']}/test", headers=tenant.headers)
    assert answer.status_code == 202
    delivery = answer.json()
    assert delivery["event"]["data"] == {"endpoint_id": made["id"]}
    log = (await client.get(f"{PATH}/{made['id']}/deliveries?state=pending&limit=1", headers=tenant.headers)).json()
    assert [entry["webhook_id"] for entry in log["deliveries"]] == [delivery["webhook_id"]]
    await admin.execute("DELETE FROM jobs WHERE job_type = 'webhook'")
    await admin.execute("UPDATE webhook_deliveries SET state = 'failed' WHERE id = $1::uuid", delivery["id"])
    again = await client.post(answer.headers["location"] + "/redeliver", headers=tenant.headers)
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    assert again.json()["webhook_id"] == delivery["webhook_id"]
    assert await admin.fetchval("SELECT count(*) FROM jobs WHERE unique_key = $1", delivery["id"]) == 1


async def test_failed_deliveries_since_a_time_are_repeated(
    client: httpx.AsyncClient, admin: Admin, tenant: Tenant
) -> None:
    """Those before it, and those that were delivered, are not; a paused endpoint is refused."""
    made = await _make(client, tenant)
    for _ in range(3):
        await client.post(f"{PATH}/{made['id']}/test", headers=tenant.headers)
    await admin.execute("DELETE FROM jobs WHERE job_type = 'webhook'")
    await admin.execute(
        "UPDATE webhook_deliveries AS d SET state = CASE nth WHEN 1 THEN 'delivered' ELSE 'failed' END, "
        "created_at = CASE nth WHEN 2 THEN now() - interval '2 h' ELSE now() END "
        "FROM (SELECT id, row_number() OVER () AS nth FROM webhook_deliveries WHERE endpoint_id = $1::uuid) AS n "
        "WHERE n.id = d.id",
        made["id"],
    )
    since = await admin.fetchval("SELECT scopekit.iso(now() - interval '1 h')")
    address = f"{PATH}/{made['id']}"
    answer = await client.post(f"{address}/redeliver", json={"since": since}, headers=tenant.headers)
    assert (answer.status_code, answer.json()) == (202, {"queued": 1})
    await client.patch(address, json={"status": "paused"}, headers=tenant.headers)
    refused = await client.post(f"{address}/redeliver", json={"since": since}, headers=tenant.headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "endpoint_not_active")
    assert (await client.post(f"{address}/test", headers=tenant.headers)).status_code == 409


async def test_log_goes_page_by_page(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """The newest first, each entry once."""
    made = await _make(client, tenant)
    tests = [await client.post(f"{PATH}/{made['id']}/test", headers=tenant.headers) for _ in range(5)]
    ids = [answer.json()["id"] for answer in tests]
    found, after = [], ""
    while True:
        page = (await client.get(f"{PATH}/{made['id']}/deliveries?limit=2{after}", headers=tenant.headers)).json()
        found += [entry["id"] for entry in page["deliveries"]]
        if not page["has_more"]:
            break
        after = f"&after={page['next']}"
    assert found == ids[::-1]
