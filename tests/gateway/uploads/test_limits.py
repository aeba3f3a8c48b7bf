"""How much and how often a tenant may send."""

import asyncio
from typing import Any

import httpx

from gateway.uploads.upload_limits import BURST
from tests.gateway.uploads.conftest import Upload, allow
from tests.gateway.uploads.files import files
from tests.gateway.uploads.tus.tus import Tus
from tests.tenants import Tenant


async def test_a_full_tenant_is_told_before_it_sends(
    upload: Upload, client: httpx.AsyncClient, tenant: Tenant, visit: str, admin: Any, other_tenant: Tenant
) -> None:
    """413 with what is taken and what is allowed, on each way in; another tenant is not concerned."""
    photo = files.png()
    await allow(admin, tenant, len(photo))
    media_id = files.new_id()
    assert (await upload(photo, "image/png", x_media_id=media_id)).status_code == 201
    refused = await upload(files.jpeg(), "image/jpeg")
    assert (refused.status_code, refused.json()["used"], refused.json()["quota"]) == (413, len(photo), len(photo))
    assert (await Tus(client, tenant.headers, visit).create(100)).status_code == 413
    wish = {"content_type": "image/png", "file_size": 1}
    assert (
        await client.post(f"/v1/visits/{visit}/media/presign", json=wish, headers=tenant.headers)
    ).status_code == 413
    assert (await upload(photo, "image/png", x_media_id=media_id)).status_code == 200
    own = (await client.post("/v1/visits", json={}, headers=other_tenant.headers)).json()["id"]
    headers = other_tenant.headers | {"content-type": "image/png"}
    assert (await client.post(f"/v1/visits/{own}/media", content=photo, headers=headers)).status_code == 201


async def test_the_last_room_is_given_once(upload: Upload, tenant: Tenant, admin: Any, objects: Any) -> None:
    """Of several that all saw room when they began, as many are kept as fit; the others leave nothing."""
    photo = files.png()
    await allow(admin, tenant, 2 * len(photo))
    answers = await asyncio.gather(*(upload(photo, "image/png") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 413, 413, 413]
    assert len(await objects.keys(f"{tenant.id}/")) == 2


async def test_an_upload_under_way_has_its_room(
    client: httpx.AsyncClient, tenant: Tenant, visit: str, admin: Any, upload: Upload
) -> None:
    """What was announced and let in can be finished, whatever else comes."""
    photo = files.png()
    await allow(admin, tenant, len(photo))
    tus = Tus(client, tenant.headers, visit)
    url = await tus.begin(len(photo), "image/png")
    assert (await upload(files.webp(), "image/webp")).status_code == 413
    assert (await tus.patch(url, 0, photo)).status_code == 204


async def test_a_whole_file_waits_for_room(client: httpx.AsyncClient, tenant: Tenant, visit: str, admin: Any) -> None:
    """What came in before the storage was full is kept; asked again once there is room, it becomes a medium."""
    photo = files.png()
    tus = Tus(client, tenant.headers, visit)
    url = await tus.begin(len(photo), "image/png")
    await allow(admin, tenant, len(photo) - 1)
    assert (await tus.patch(url, 0, photo)).status_code == 413
    looked = await client.head(url, headers=tus.headers | {"tus-resumable": "1.0.0"})
    assert looked.status_code == 413
    await allow(admin, tenant, len(photo))
    assert await tus.offset(url) == len(photo)
    (medium,) = (await client.get(f"/v1/visits/{visit}/media", headers=tenant.headers)).json()["media"]
    assert medium["status"] == "stored"


async def test_without_a_setting_the_deployments_default_holds(app: Any, upload: Upload) -> None:
    """50 GiB, unless the environment says otherwise."""
    assert app.state.context.settings.tenant_media_bytes == 50 * 1024**3
    assert (await upload(files.png(), "image/png")).status_code == 201


async def test_too_many_at_once_are_told_when_to_come_back(
    app: Any, upload: Upload, tenant: Tenant, other_tenant: Tenant, client: httpx.AsyncClient, visit: str
) -> None:
    """429 with Retry-After once the burst is spent, and nobody else pays for it."""
    starts = app.state.context.upload_starts
    starts.take(str(tenant.id), BURST + 100)
    refused = await upload(files.png(), "image/png")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert (await Tus(client, tenant.headers, visit).create(100)).status_code == 429
    chunks = f"/v1/visits/{visit}/recordings/{files.new_id()}/chunks"
    headers = tenant.headers | {"content-type": "audio/webm", "x-sequence": "1"}
    assert (await client.post(chunks, content=files.recording(), headers=headers)).status_code == 429
    assert not starts.wait(str(other_tenant.id))


async def test_one_tenants_queue_holds_up_nobody_else(
    upload: Upload, tenant: Tenant, other_tenant: Tenant, client: httpx.AsyncClient, admin: Any
) -> None:
    """While more of its uploads than the pool has connections wait for each other, another tenant is served."""
    key = "hashtextextended('tenant ' || $1::text, 0)"
    await admin.execute(f"SELECT pg_advisory_lock({key})", str(tenant.id))
    ending = [asyncio.create_task(upload(files.png(), "image/png")) for _ in range(12)]
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with asyncio.timeout(30):
        while not await admin.fetchval(waiting):  # noqa: ASYNC110 - PostgreSQL does not tell who waits
            await asyncio.sleep(0.02)
        for _ in range(5):
            assert (await client.get("/v1/visits", headers=other_tenant.headers)).status_code == 200
        await admin.execute(f"SELECT pg_advisory_unlock({key})", str(tenant.id))
        assert {answer.status_code for answer in await asyncio.gather(*ending)} == {201}
