"""The contractor's routes: make a link, see what became of it, end it."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from store.pool import Database
from tests.gateway.shares.documents import Visit, client_of, customer_of, make_share, save_next, share_now
from tests.tenants import ALL_FLAGS, Tenant, make_tenant


def _lifetime(share: dict[str, Any]) -> timedelta:
    return datetime.fromisoformat(share["expires_at"]) - datetime.fromisoformat(share["created_at"])


async def test_a_link_lives_a_week_unless_told_otherwise(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Seven days, any number of views, no passcode; the answer has the whole link, once, and is not cached."""
    answer = await client.post(f"/v1/estimates/{visit.estimate['id']}/shares", json={}, headers=tenant.headers)
    share = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert share["url"] == f"http://gateway.test/e/{share['token']}"
    assert _lifetime(share) == timedelta(days=7)
    facts = {name: share[name] for name in ("recipient", "max_views", "views", "remaining", "has_passcode", "state",
                                            "revoked_at", "decision", "last_opened_at")}  # fmt: skip
    assert facts == {"recipient": "", "max_views": None, "views": 0, "remaining": None, "has_passcode": False,
                     "state": "ready", "revoked_at": None, "decision": None, "last_opened_at": None}  # fmt: skip


@pytest.mark.parametrize("seconds", [300, 7_776_000])
async def test_five_minutes_and_ninety_days_are_the_ends(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, seconds: int
) -> None:
    """Both ends of the allowed range are taken as they are."""
    share = await make_share(client, tenant, visit, expires_in=seconds)
    assert _lifetime(share).total_seconds() == seconds


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({"expires_in": 299}, "expires_in"),
        ({"expires_in": 7_776_001}, "expires_in"),
        ({"max_views": 0}, "max_views"),
        ({"max_views": 10_001}, "max_views"),
        ({"passcode": "123"}, "passcode"),
        ({"recipient": "x" * 201}, "recipient"),
        ({"token": "mine"}, "token"),
    ],
)
async def test_a_wrong_order_names_the_field(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, order: dict[str, Any], field: str
) -> None:
    """422 with the field, and no share is made."""
    path = f"/v1/estimates/{visit.estimate['id']}/shares"
    answer = await client.post(path, json=order, headers=tenant.headers)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await client.get(path, headers=tenant.headers)).json()["shares"] == []


async def test_shares_are_listed_newest_first_with_what_became_of_them(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Views, states and times of opening, per recipient."""
    for name in ("Maria", "Paul"):
        share = await make_share(client, tenant, visit, recipient=name)
    await customer_of(client, share).open()
    answer = await client.get(f"/v1/estimates/{visit.estimate['id']}/shares", headers=tenant.headers)
    listed = answer.json()["shares"]
    assert [(share["recipient"], share["views"]) for share in listed] == [("Paul", 1), ("Maria", 0)]
    assert listed[0]["first_opened_at"] == listed[0]["last_opened_at"] is not None
    assert not {"token", "url", "token_hash", "passcode_hash"} & set(listed[0])


async def test_revoking_ends_a_link_once_and_for_all(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """200 with the share as it stands; a second time changes nothing."""
    share = await make_share(client, tenant, visit)
    revoked = [await client.post(f"/v1/shares/{share['id']}/revoke", headers=tenant.headers) for _ in range(2)]
    assert [answer.status_code for answer in revoked] == [200, 200]
    assert revoked[0].json() == revoked[1].json()
    assert revoked[0].json()["state"] == "revoked"
    assert (await client.get(share["url"])).status_code == 410


@pytest.mark.parametrize("decision", ["accepted", "declined", "changes_requested"])
async def test_a_link_has_one_status_at_a_time(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, decision: str
) -> None:
    """Unopened, opened, answered, revoked: in the list and in the answer; what was answered stays beside it."""
    share = await make_share(client, tenant, visit)
    customer = customer_of(client, share)
    seen = [share["status"]]
    await customer.open()
    seen.append((await share_now(client, tenant, visit, share["id"]))["status"])
    await customer.decide(visit, decision, name="Maria Alvarez", message="Copper, please")
    seen.append((await share_now(client, tenant, visit, share["id"]))["status"])
    revoked = (await client.post(f"/v1/shares/{share['id']}/revoke", headers=tenant.headers)).json()
    assert seen == ["sent", "opened", decision]
    assert revoked == await share_now(client, tenant, visit, share["id"])
    assert (revoked["status"], revoked["decision"]["decision"]) == ("revoked", decision)


@pytest.mark.parametrize(
    ("change", "status"), [("expires_at = now()", "expired"), ("max_views = 1, views = 1", "used_up")]
)
async def test_a_link_that_ended_by_itself_says_how(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any, change: str, status: str
) -> None:
    """Expired or without views left, where nobody answered and nobody revoked."""
    share = await make_share(client, tenant, visit)
    await admin.execute(f"UPDATE shares SET {change} WHERE id = $1", share["id"])
    assert (await share_now(client, tenant, visit, share["id"]))["status"] == status


async def test_a_replaced_version_is_not_shared(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, service: Database
) -> None:
    """A link to an old version could not be accepted: 409 names the newest."""
    newest = await save_next(service, visit)
    answer = await client.post(f"/v1/estimates/{visit.estimate['id']}/shares", json={}, headers=tenant.headers)
    assert (answer.status_code, answer.json()["newest_id"]) == (409, str(newest["id"]))


async def test_a_link_carries_the_public_address(
    client: httpx.AsyncClient, app: Any, tenant: Tenant, visit: Visit, settings: Any
) -> None:
    """With PUBLIC_URL set, links lead there whatever host the request named, and its cookie is Secure."""
    public = settings.model_copy(update={"public_url": "https://share.example.test/"})
    app.state.context = dataclasses.replace(app.state.context, settings=public)
    async with client_of(app) as caller:
        share = await make_share(caller, tenant, visit)
        assert share["url"] == f"https://share.example.test/e/{share['token']}"
        opened = await caller.post(f"/e/{share['token']}/open", headers={"origin": "https://share.example.test"})
    assert "; Secure" in opened.headers["set-cookie"]


async def test_a_tenant_without_visits_has_no_shares(client: httpx.AsyncClient, visit: Visit, admin: Any) -> None:
    """With `visits.enabled` off the contractor's routes answer 404."""
    off = await make_tenant(admin, flags=ALL_FLAGS | {"visits": {"enabled": False}})
    answer = await client.get(f"/v1/estimates/{visit.estimate['id']}/shares", headers=off.headers)
    assert answer.status_code == 404
    assert "visits.enabled" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_without_a_token_there_is_nothing(client: httpx.AsyncClient, visit: Visit, method: str) -> None:
    """401 for the contractor's routes without signing in."""
    answer = await client.request(method, f"/v1/estimates/{visit.estimate['id']}/shares")
    assert answer.status_code == 401


async def test_an_open_share_says_so(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """After one open of two the state is still ready, with one view left."""
    share = await make_share(client, tenant, visit, max_views=2)
    await customer_of(client, share).open()
    now = await share_now(client, tenant, visit, share["id"])
    assert (now["state"], now["views"], now["remaining"]) == ("ready", 1, 1)
