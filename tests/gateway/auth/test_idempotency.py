"""Idempotency-Key: a repeated POST is answered and not carried out again."""

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from tests.gateway.uploads.files import files
from tests.tenants import Tenant, make_member

if TYPE_CHECKING:
    import asyncpg

_PRICES = "description,category,unit,unit_price\nOak sill,Carpentry,each,12.00\n"
KEYED = {"idempotency-key": "0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90"}


async def _post(client: httpx.AsyncClient, tenant: Tenant, path: str, body: Any, **headers: str) -> httpx.Response:
    return await client.post(path, json=body, headers=tenant.headers | KEYED | headers)


@pytest.mark.parametrize(
    ("path", "body", "table"),
    [
        ("/v1/visits", {"title": "Kitchen"}, "site_visits"),
        ("/v1/price-items", {"description": "Sill", "unit": "each", "unit_price": "12.00"}, "price_items"),
    ],
)
async def test_a_repeated_request_makes_one_thing_and_gets_one_answer(
    client: httpx.AsyncClient,
    admin: "asyncpg.Connection[asyncpg.Record]",
    tenant: Tenant,
    path: str,
    body: dict[str, str],
    table: str,
) -> None:
    """The second answer is the first, and says that it is."""
    count = f"SELECT count(*) FROM {table} WHERE tenant_id = $1"
    before = await admin.fetchval(count, tenant.id)
    first, again = [await _post(client, tenant, path, body) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers.get("location") == first.headers.get("location")
    assert (again.headers["idempotency-replayed"], "idempotency-replayed" in first.headers) == ("true", False)
    assert await admin.fetchval(count, tenant.id) == before + 1


async def test_another_request_under_the_key_is_refused(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """Another body or another address: 422, whatever the first one's was."""
    await _post(client, tenant, "/v1/visits", {"title": "Kitchen"})
    other = await _post(client, tenant, "/v1/visits", {"title": "Bath"})
    elsewhere = await _post(client, tenant, "/v1/price-items", {"title": "Kitchen"})
    for answer in (other, elsewhere):
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_key_is_its_users_own(
    client: httpx.AsyncClient, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant, other_tenant: Tenant
) -> None:
    """A colleague and another company may use the same key for something else."""
    colleague = await make_member(admin, tenant)
    ids = set()
    for user in (tenant, colleague, other_tenant):
        answer = await _post(client, user, "/v1/visits", {"title": str(user.user_id)})
        assert answer.status_code == 201
        ids.add(answer.json()["id"])
    assert len(ids) == 3


async def test_an_error_is_not_kept(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """A request that was refused may be mended and sent under the same key."""
    assert (await _post(client, tenant, "/v1/visits", {"title": 5})).status_code == 422
    assert (await _post(client, tenant, "/v1/visits", {"title": "Kitchen"})).status_code == 201


async def test_of_requests_at_once_one_is_carried_out(
    client: httpx.AsyncClient, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """The others hear that it is under way, or get its answer."""
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*(_post(client, tenant, "/v1/visits", {"title": "One"}) for _ in range(6)))
    assert await admin.fetchval("SELECT count(*) FROM site_visits WHERE tenant_id = $1", tenant.id) == 1
    for answer in answers:
        assert answer.status_code == 201 or answer.json()["code"] == "idempotency_key_in_use"
        assert answer.status_code == 201 or answer.headers["retry-after"] == "1"


async def test_a_key_is_held_while_the_first_request_is_under_way(
    client: httpx.AsyncClient, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """409 with Retry-After; the visit is made once the first one lets go."""
    key = "hashtextextended('idempotency ' || $1::uuid || $2::uuid || encode(sha256($3), 'hex'), 0)"
    who = (tenant.id, tenant.user_id, KEYED["idempotency-key"].encode())
    await admin.execute(f"SELECT pg_advisory_lock({key})", *who)
    answer = await _post(client, tenant, "/v1/visits", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_in_use")
    await admin.execute(f"SELECT pg_advisory_unlock({key})", *who)
    assert (await _post(client, tenant, "/v1/visits", {})).status_code == 201


async def test_a_key_is_forgotten_after_a_day(
    client: httpx.AsyncClient, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """Then the same request is a new one."""
    first = await _post(client, tenant, "/v1/visits", {})
    await admin.execute(
        "UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second' WHERE tenant_id = $1", tenant.id
    )
    assert (await _post(client, tenant, "/v1/visits", {})).json()["id"] != first.json()["id"]
    assert (await _post(client, tenant, "/v1/visits", {})).headers["idempotency-replayed"] == "true"


async def test_the_table_does_not_hold_what_was_answered(
    client: httpx.AsyncClient, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """A link that is shown once is not stored: neither body nor key can be read there."""
    await _post(client, tenant, "/v1/visits", {"title": "Kitchen of a customer"})
    row = await admin.fetchrow("SELECT * FROM idempotency_keys WHERE tenant_id = $1", tenant.id)
    assert row is not None
    assert b"Kitchen" not in row["body"]
    assert KEYED["idempotency-key"].encode() not in b"".join(value for value in row if isinstance(value, bytes))


async def test_a_visit_is_changed_only_while_it_is_as_it_was_read(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """If-Match with the ETag of a read; 412 once it has changed; 304 while it has not."""
    visit = (await _post(client, tenant, "/v1/visits", {"title": "Kitchen"})).headers["location"]
    read = await client.get(visit, headers=tenant.headers)
    unchanged = await client.get(visit, headers=tenant.headers | {"if-none-match": read.headers["etag"]})
    assert unchanged.status_code == 304
    mine = tenant.headers | {"if-match": read.headers["etag"]}
    changed = await client.patch(visit, json={"title": "Bath"}, headers=mine)
    assert (changed.status_code, changed.json()["title"]) == (200, "Bath")
    late = await client.patch(visit, json={"title": "Roof"}, headers=mine)
    assert (late.status_code, late.json()["code"]) == (412, "version_mismatch")
    again = await client.patch(visit, json={"title": "Roof"}, headers=mine | {"if-match": changed.headers["etag"]})
    assert again.json()["title"] == "Roof"
    assert (await client.patch(visit, json={}, headers=mine | {"if-match": "*"})).status_code == 200


async def _twice(client: httpx.AsyncClient, tenant: Tenant, path: str, body: Any = None) -> httpx.Response:
    """Send a request twice under a new key; the second answer is the first. Returns it."""
    headers = tenant.headers | {"idempotency-key": str(uuid4())}
    first, again = [await client.post(path, json=body, headers=headers) for _ in range(2)]
    assert first.is_success, first.text
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    return first


async def test_whatever_makes_something_takes_a_key(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """A ticket, a form, what a form brought, a recording's end, a file of prices: the first answer again."""
    visit = (await client.post("/v1/visits", json={}, headers=tenant.headers)).headers["location"]
    await _twice(client, tenant, f"{visit}/progress/ticket")
    body = files.jpeg()
    form = (
        await _twice(client, tenant, f"{visit}/media/presign", {"content_type": "image/jpeg", "file_size": len(body)})
    ).json()
    async with httpx.AsyncClient() as browser:
        sent = await browser.post(form["url"], data=form["fields"], files={"file": ("photo", body)})
    assert sent.status_code == 204
    done = await _twice(client, tenant, f"{visit}/media/{form['media_id']}/complete")
    assert done.status_code == 201
    recording = f"{visit}/recordings/{uuid4()}"
    chunk = tenant.headers | {"content-type": "audio/webm", "x-sequence": "0"}
    assert (await client.post(f"{recording}/chunks", content=files.recording(), headers=chunk)).status_code == 201
    assert (await _twice(client, tenant, f"{recording}/finalize", {})).status_code == 201
    prices = tenant.headers | KEYED | {"content-type": "text/csv"}
    told = [
        (await client.post("/v1/price-items/import", content=content, headers=prices)).json()
        for content in (_PRICES, _PRICES, _PRICES.replace("12.00", "13.00"))
    ]
    assert told[:2] == [{"added": 1, "updated": 0}] * 2
    assert told[2]["code"] == "idempotency_key_reused"


async def test_a_medium_is_changed_only_while_it_is_as_it_was_read(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """Its words, and its removal; and it is not sent again to a client that has it."""
    visit = (await client.post("/v1/visits", json={}, headers=tenant.headers)).headers["location"]
    sent = tenant.headers | {"content-type": "image/png"}
    medium = (await client.post(f"{visit}/media", content=files.png(), headers=sent)).json()
    path = f"/v1/media/{medium['id']}"
    read = await client.get(path, headers=tenant.headers)
    assert (await client.get(path, headers=tenant.headers | {"if-none-match": read.headers["etag"]})).status_code == 304
    mine = tenant.headers | {"if-match": read.headers["etag"]}
    changed = await client.patch(path, json={"label": "Panel"}, headers=mine)
    assert (changed.status_code, changed.json()["label"]) == (200, "Panel")
    assert (await client.patch(path, json={"label": "Roof"}, headers=mine)).status_code == 412
    assert (await client.delete(path, headers=mine)).status_code == 412
    assert (await client.delete(path, headers=mine | {"if-match": changed.headers["etag"]})).status_code == 204
