"""Deleted visits: in the bin for 30 days, hidden and yet whole, then gone with their media."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from store.objects.objects import ObjectStore
from store.pool import Database
from store.visits import deleted
from tests.gateway.uploads.conftest import Upload, nothing_of
from tests.gateway.uploads.files import files
from tests.store.schema.rows import fill_every_table
from tests.tenants import Admin, Tenant, make_member

NAMED_BY_ID = ("/v1/visits/{visit}", "/v1/visits/{visit}/media", "/v1/visits/{visit}/events", "/v1/media/{medium}")


async def delete(client: httpx.AsyncClient, tenant: Tenant, visit: str) -> dict[str, Any]:
    """Put a visit into the bin."""
    answer = await client.delete(f"/v1/visits/{visit}", headers=tenant.headers)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_a_deleted_visit_is_in_the_bin_alone(
    client: httpx.AsyncClient, upload: Upload, tenant: Tenant, visit: str
) -> None:
    """It and its media are found nowhere, nothing is added to it, and the bin says until when it can be restored."""
    medium = (await upload(files.jpeg(), "image/jpeg")).json()["id"]
    told = await delete(client, tenant, visit)
    left = datetime.fromisoformat(told["purge_at"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    for path in NAMED_BY_ID:
        answer = await client.get(path.format(visit=visit, medium=medium), headers=tenant.headers)
        assert answer.status_code == 404, path
    assert (await upload(files.jpeg(), "image/jpeg")).status_code == 404
    assert (await client.delete(f"/v1/visits/{visit}", headers=tenant.headers)).status_code == 404
    visits = (await client.get("/v1/visits", headers=tenant.headers)).json()["visits"]
    assert [one["id"] for one in visits] == []
    [in_bin] = (await client.get("/v1/bin", headers=tenant.headers)).json()["visits"]
    assert (in_bin["id"], in_bin["purge_at"]) == (visit, told["purge_at"])
    changes = (await client.get("/v1/changes", headers=tenant.headers)).json()["changes"]
    assert [one["action"] for one in changes if one["kind"] == "visit"][-1] == "deleted"


async def test_a_restored_visit_is_as_before(
    client: httpx.AsyncClient, upload: Upload, tenant: Tenant, visit: str
) -> None:
    """With its media; a second restoring finds nothing."""
    medium = (await upload(files.jpeg(), "image/jpeg")).json()
    await delete(client, tenant, visit)
    assert (await client.post(f"/v1/bin/{visit}/restore", headers=tenant.headers)).status_code == 204
    detail = (await client.get(f"/v1/visits/{visit}", headers=tenant.headers)).json()
    assert detail["media"] == [medium]
    assert (await client.post(f"/v1/bin/{visit}/restore", headers=tenant.headers)).status_code == 404
    assert (await client.get("/v1/bin", headers=tenant.headers)).json()["visits"] == []


async def test_links_and_jobs_of_a_deleted_visit_end(client: httpx.AsyncClient, admin: Admin, tenant: Tenant) -> None:
    """A link is revoked, and holds again once the visit is restored; one that was revoked before stays so."""
    visit = await fill_every_table(admin, tenant)
    active = "SELECT count(*) FROM ai_jobs WHERE visit_id = $1 AND status = 'queued'"
    assert await admin.fetchval(active, visit) == 1
    await admin.execute("UPDATE shares SET revoked_at = NULL WHERE visit_id = $1", visit)
    share = await admin.fetchval("SELECT id FROM shares WHERE visit_id = $1 LIMIT 1", visit)
    await delete(client, tenant, str(visit))
    assert await admin.fetchval(active, visit) == 0
    assert await admin.fetchval("SELECT revoked_at FROM shares WHERE id = $1", share) is not None
    await client.post(f"/v1/bin/{visit}/restore", headers=tenant.headers)
    assert await admin.fetchval("SELECT revoked_at FROM shares WHERE id = $1", share) is None
    await admin.execute("UPDATE shares SET revoked_at = now() - interval '1 hour' WHERE id = $1", share)
    await delete(client, tenant, str(visit))
    await client.post(f"/v1/bin/{visit}/restore", headers=tenant.headers)
    assert await admin.fetchval("SELECT revoked_at FROM shares WHERE id = $1", share) is not None


async def test_an_external_id_is_free_while_its_visit_is_in_the_bin(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """Another visit may have it; then the first is not restored before that one gives it up."""
    fields = {"external_id": "job-1"}
    first = (await client.post("/v1/visits", json=fields, headers=tenant.headers)).json()["id"]
    await delete(client, tenant, first)
    assert (await client.post("/v1/visits", json=fields, headers=tenant.headers)).status_code == 201
    answer = await client.post(f"/v1/bin/{first}/restore", headers=tenant.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "external_id_taken")


@pytest.mark.parametrize(
    ("role", "deletes", "purges"), [("viewer", 404, 403), ("member", 200, 403), ("admin", 200, 204)]
)
async def test_who_may_delete(
    client: httpx.AsyncClient, admin: Admin, tenant: Tenant, visit: str, role: str, deletes: int, purges: int
) -> None:
    """Members delete and restore; for good, admins alone."""
    user = await make_member(admin, tenant, role)
    assert (await client.delete(f"/v1/visits/{visit}", headers=user.headers)).status_code in {deletes, 403}
    if role == "viewer":
        assert (await client.get(f"/v1/visits/{visit}", headers=user.headers)).status_code == 200
    assert (await client.delete(f"/v1/bin/{visit}", headers=user.headers)).status_code == purges


async def test_another_company_sees_no_bin_but_its_own(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, visit: str
) -> None:
    """Neither deletes, lists, restores nor purges."""
    assert (await client.delete(f"/v1/visits/{visit}", headers=other_tenant.headers)).status_code == 404
    await delete(client, tenant, visit)
    assert (await client.get("/v1/bin", headers=other_tenant.headers)).json()["visits"] == []
    assert (await client.post(f"/v1/bin/{visit}/restore", headers=other_tenant.headers)).status_code == 404
    assert (await client.delete(f"/v1/bin/{visit}", headers=other_tenant.headers)).status_code == 404


async def test_what_is_purged_is_gone_with_its_media(
    client: httpx.AsyncClient, upload: Upload, tenant: Tenant, visit: str, service: Database, objects: ObjectStore
) -> None:
    """Rows and objects; a visit whose time is not over stays, and one is not restored once it is over."""
    assert (await upload(files.jpeg(), "image/jpeg")).status_code == 201
    await delete(client, tenant, visit)
    await deleted.purge(service, objects)
    assert (await client.get("/v1/bin", headers=tenant.headers)).json()["visits"] != []
    assert not await nothing_of(objects, tenant)
    assert (await client.delete(f"/v1/bin/{visit}", headers=tenant.headers)).status_code == 204
    assert (await client.post(f"/v1/bin/{visit}/restore", headers=tenant.headers)).status_code == 404
    assert await deleted.purge(service, objects) >= 1
    assert await nothing_of(objects, tenant)
    async with service.as_system() as conn:
        assert await conn.fetchval("SELECT count(*) FROM site_visits WHERE id = $1", UUID(visit)) == 0


async def test_a_user_cannot_move_a_visit_into_the_bin_or_out_by_an_update(
    db: Database, client: httpx.AsyncClient, tenant: Tenant, visit: str
) -> None:
    """The functions alone do: what ends with a deletion must end."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.as_user(tenant.claims) as conn:
            await conn.execute("UPDATE site_visits SET deleted_at = now(), purge_at = now() WHERE id = $1", UUID(visit))
    await delete(client, tenant, visit)
    async with db.as_user(tenant.claims) as conn:
        done = await conn.execute(
            "UPDATE site_visits SET deleted_at = NULL, purge_at = NULL WHERE id = $1", UUID(visit)
        )
    assert done == "UPDATE 0"
