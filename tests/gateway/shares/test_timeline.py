"""What became of a link, for the contractor: each thing once, and little of who did it."""

import asyncio
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

from store.objects.objects import ObjectStore
from tests.gateway.shares.documents import Customer, Visit, customer_of, make_share, store_photos
from tests.product import Product
from tests.tenants import Tenant

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit Mobile/15E148 Safari"


async def _story(client: httpx.AsyncClient, tenant: Tenant, share: dict[str, Any]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        answer = await client.get(f"/v1/shares/{share['id']}/timeline", params=params, headers=tenant.headers)
        assert answer.status_code == 200, answer.text
        events += answer.json()["events"]
        if not answer.json()["has_more"]:
            return events
        params["after"] = answer.json()["next"]


def _on_a_phone(customer: Customer) -> Customer:
    customer.headers["user-agent"] = PHONE
    customer.http.headers["user-agent"] = PHONE
    return customer


async def test_a_whole_story_in_its_order(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, objects: ObjectStore
) -> None:
    """Opened, a photo looked at, the PDF taken, accepted, the certificate taken, another link, revoked."""
    await store_photos(objects, tenant, visit)
    share = await make_share(client, tenant, visit)
    customer = _on_a_phone(customer_of(client, share))
    await customer.open()
    await customer.look(f"/media/{visit.cited}?size=view")
    await customer.look("/estimate.pdf")
    await customer.decide(visit, name="Maria Alvarez")
    await customer.look("/certificate.json")
    for act in ("rotate", "revoke"):
        await client.post(f"/v1/shares/{share['id']}/{act}", headers=tenant.headers)
    story = await _story(client, tenant, share)
    assert [event["kind"] for event in story] == [
        "opened", "photo", "pdf", "accepted", "certificate", "rotated", "revoked",
    ]  # fmt: skip
    by_customer = story[:5]
    assert {event["user_agent_class"] for event in by_customer} == {"phone"}
    assert {event["address_prefix"] for event in by_customer} == {"127.0.0.0/24"}
    assert (story[1]["media_id"], story[3]["detail"]) == (str(visit.cited), "Maria Alvarez")


async def test_the_same_look_counts_once_a_session(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, objects: ObjectStore
) -> None:
    """Paging back and forth, thumbnails and reloads do not fill the story; a second session does."""
    await store_photos(objects, tenant, visit)
    share = await make_share(client, tenant, visit)
    for _ in range(2):
        customer = customer_of(client, share)
        await customer.open()
        for _ in range(3):
            await customer.look(f"/media/{visit.cited}?size=thumb")
            await customer.look(f"/media/{visit.cited}?size=view")
            await customer.look()
    assert [event["kind"] for event in await _story(client, tenant, share)] == ["opened", "photo"] * 2


async def test_who_only_looks_at_the_door_leaves_nothing(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Previews, wrong passcodes and refused photos are no part of the story."""
    share = await make_share(client, tenant, visit, passcode="blue door")
    stranger = customer_of(client, share)
    await stranger.look()
    await stranger.open(passcode="wrong")
    for path in (f"/media/{visit.cited}", "/estimate.pdf", "/certificate.json"):
        assert (await stranger.look(path)).status_code == 404
    assert await _story(client, tenant, share) == []


async def test_the_story_is_its_owners(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, visit: Visit
) -> None:
    """404 for another tenant."""
    share = await make_share(client, tenant, visit)
    answer = await client.get(f"/v1/shares/{share['id']}/timeline", headers=other_tenant.headers)
    assert answer.status_code == 404


@pytest.mark.parametrize("stream", ["visits/{visit}/progress", "tenant/progress"])
async def test_the_contractor_sees_it_happen(server: Product, tenant: Tenant, visit: Visit, stream: str) -> None:
    """On an open stream, of the visit or of the whole tenant: the first open, not the second, and then the answer."""
    url = f"{server.url}/v1/{stream.format(visit=visit.id)}"
    async with (
        asyncio.timeout(60),
        httpx.AsyncClient(base_url=server.url, timeout=30) as contractor,
        aconnect_sse(contractor, "GET", url, headers=tenant.headers) as source,
    ):
        share = await make_share(contractor, tenant, visit, recipient="Maria")
        told = (event.json() async for event in source.aiter_sse() if '"share.' in event.data)
        for _ in range(2):
            async with httpx.AsyncClient(base_url=server.url, timeout=30) as browser:
                reader = Customer(browser, share["url"])
                await reader.open()
                last = await reader.decide(visit, "changes_requested", message="Copper, please")
        assert last.status_code == 409
        opened, decided = await anext(told), await anext(told)
    assert (opened["type"], opened["payload"]["recipient"]) == ("share.opened", "Maria")
    assert (decided["type"], decided["payload"]["decision"]) == ("share.decided", "changes_requested")
