"""Another link for the same share: the new one opens it, the old one is dead."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx

from tests.gateway.shares.documents import Visit, customer_of, make_share, open_share, share_now
from tests.support.waiting import until_somebody_waits_for
from tests.tenants import Tenant


async def _rotate(client: httpx.AsyncClient, tenant: Tenant, share_id: str, **order: Any) -> httpx.Response:
    return await client.post(f"/v1/shares/{share_id}/rotate", json=order, headers=tenant.headers)


async def test_the_new_link_opens_the_same_share(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """Recipient, limits, end and counted views stay; the answer has the new link, once, and is not cached."""
    share = await make_share(client, tenant, visit, recipient="Maria", max_views=2)
    await customer_of(client, share).open()
    answer = await _rotate(client, tenant, share["id"])
    rotated = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert rotated["token"] != share["token"]
    kept = ("id", "recipient", "max_views", "expires_at", "estimate_id")
    assert {name: rotated[name] for name in kept} == {name: share[name] for name in kept}
    assert (await customer_of(client, rotated).open()).status_code == 303
    assert (await share_now(client, tenant, visit, share["id"]))["remaining"] == 0


async def test_the_old_link_and_its_reader_are_out_at_once(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Page, door, answer, photos and PDF of the old link are 404, in the words of a link that never was."""
    share = await make_share(client, tenant, visit)
    reader = customer_of(client, share)
    await reader.open()
    await _rotate(client, tenant, share["id"])
    answers = [
        await reader.look(),
        await reader.open(),
        await reader.decide(visit),
        await reader.look(f"/media/{visit.cited}"),
        await reader.look("/estimate.pdf"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5
    assert answers[0].text == (await client.get(f"/e/{'x' * 43}", headers={"accept": "text/html"})).text


async def test_an_open_on_the_way_finds_the_link_gone(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """Who presses the button while the link is replaced takes no view of the new one."""
    share = await make_share(client, tenant, visit)
    async with admin.transaction():
        await admin.execute("SELECT 1 FROM shares WHERE id = $1 FOR UPDATE", share["id"])
        opening = asyncio.create_task(customer_of(client, share).open())
        await until_somebody_waits_for(admin.get_server_pid(), admin)
        await admin.execute("DELETE FROM share_tokens WHERE share_id = $1", share["id"])
    assert (await opening).status_code == 404
    assert (await share_now(client, tenant, visit, share["id"]))["views"] == 0


async def test_an_answer_on_the_way_is_not_recorded(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """Who answers while the link is replaced has lost it before it counted."""
    reader = await open_share(client, tenant, visit)
    async with admin.transaction():
        await admin.execute("SELECT 1 FROM site_visits WHERE id = $1 FOR UPDATE", visit.id)
        answering = asyncio.create_task(reader.decide(visit))
        await until_somebody_waits_for(admin.get_server_pid(), admin)
        await admin.execute("DELETE FROM share_tokens WHERE tenant_id = $1", tenant.id)
    assert (await answering).status_code == 403
    assert (
        await admin.fetchval("SELECT count(*) FROM share_decisions WHERE estimate_id = $1", visit.estimate["id"]) == 0
    )


async def test_a_new_link_may_get_a_new_end(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """An expired share lives on with `expires_in`, and without it stays expired."""
    share = await make_share(client, tenant, visit)
    await admin.execute("UPDATE shares SET expires_at = now() - interval '1 s' WHERE id = $1", share["id"])
    assert (await _rotate(client, tenant, share["id"])).json()["state"] == "expired"
    rotated = (await _rotate(client, tenant, share["id"], expires_in=86_400)).json()
    assert rotated["state"] == "ready"
    left = datetime.fromisoformat(rotated["expires_at"]) - datetime.now(tz=datetime.fromisoformat(
        rotated["expires_at"]).tzinfo)  # fmt: skip
    assert timedelta(hours=23) < left <= timedelta(hours=24)


async def test_a_guesser_of_the_old_link_does_not_lock_the_new_one(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Five wrong passcodes lock a link; its successor starts from nothing."""
    share = await make_share(client, tenant, visit, passcode="blue door")
    for number in range(6):
        answer = await customer_of(client, share).open(passcode=f"guess {number}")
    assert answer.status_code == 429
    rotated = (await _rotate(client, tenant, share["id"])).json()
    assert (await customer_of(client, rotated).open(passcode="blue door")).status_code == 303


async def test_what_was_revoked_stays_so(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """409: a revoked share gets no other link."""
    share = await make_share(client, tenant, visit)
    await client.post(f"/v1/shares/{share['id']}/revoke", headers=tenant.headers)
    assert (await _rotate(client, tenant, share["id"])).status_code == 409


async def test_another_tenants_share_is_not_there(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, visit: Visit
) -> None:
    """404, and the link opens as before; a token without a tenant replaces nothing either."""
    share = await make_share(client, tenant, visit)
    assert (await _rotate(client, other_tenant, share["id"])).status_code == 404
    assert (await customer_of(client, share).open()).status_code == 303


async def test_without_a_tenant_nothing_is_replaced(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, db: Any
) -> None:
    """The function compares with the token's tenant; a tenant that is NULL compares with nothing."""
    share = await make_share(client, tenant, visit)
    for claims in ({}, {"app_metadata": {"tenant_id": None}}):
        async with db.as_user(claims) as conn:
            assert await conn.fetchval("SELECT rotate_share($1, $2, NULL)", share["id"], b"x" * 32) == "unknown"
