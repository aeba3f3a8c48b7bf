from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.applications import Starlette

from store.pool import Database
from tests.gateway.uploads.conftest import Upload
from tests.gateway.uploads.files import files
from tests.support.flags import set_flags
from tests.tenants import Tenant

FIELDS = {
    "title": "Roof",
    "customer_name": "Ana Müller",
    "address": "12 Quay Street",
    "notes": "3 outlets\nleaky gutter",
}


async def test_a_visit_is_opened_and_read_back(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """Every field comes back; times are UTC with Z; there is no medium, job or estimate yet."""
    answer = await client.post("/v1/visits", json=FIELDS, headers=tenant.headers)
    assert answer.status_code == 201
    visit = answer.json()
    assert visit.keys() == {*FIELDS, "id", "external_id", "metadata", "status", "state", "created_at", "updated_at"}
    assert FIELDS.items() <= visit.items()
    assert visit["status"] == "in_progress"
    assert visit["created_at"].endswith("Z")
    assert answer.headers["location"] == f"/v1/visits/{visit['id']}"
    read = await client.get(f"/v1/visits/{visit['id']}", headers=tenant.headers)
    assert read.json() == visit | {"media": [], "job": None, "estimate": None}


async def test_a_visit_shows_its_media_and_its_job(
    upload: Upload, client: httpx.AsyncClient, tenant: Tenant, visit: str, service: Database
) -> None:
    """The detail holds what a page needs to draw itself."""
    medium = (await upload(files.png(), "image/png")).json()
    async with service.as_system() as conn:
        await conn.execute(
            "INSERT INTO ai_jobs (visit_id, job_type, run_at) VALUES ($1, 'estimate', now() + interval '1 hour')", visit
        )
    detail = (await client.get(f"/v1/visits/{visit}", headers=tenant.headers)).json()
    assert detail["media"] == [medium]
    assert detail["job"]["status"] == "queued"


async def test_a_visit_changes_in_part(client: httpx.AsyncClient, tenant: Tenant, visit: str) -> None:
    """What is left out or null stays; an empty text clears."""
    url = f"/v1/visits/{visit}"
    await client.patch(url, json={"notes": "two windows", "address": "here"}, headers=tenant.headers)
    answer = await client.patch(url, json={"address": "", "title": None}, headers=tenant.headers)
    assert answer.status_code == 200
    assert (answer.json()["notes"], answer.json()["address"], answer.json()["title"]) == ("two windows", "", "Roof")


async def test_the_newest_visits_are_listed_first(client: httpx.AsyncClient, tenant: Tenant, upload: Upload) -> None:
    """With how many media each holds, and no more than asked for."""
    await upload(files.png(), "image/png")
    await client.post("/v1/visits", json={"title": "Deck"}, headers=tenant.headers)
    listed = (await client.get("/v1/visits", headers=tenant.headers)).json()["visits"]
    assert [(visit["title"], visit["media_count"]) for visit in listed] == [("Deck", 0), ("Roof", 1)]
    one = (await client.get("/v1/visits?limit=1", headers=tenant.headers)).json()["visits"]
    assert [visit["title"] for visit in one] == ["Deck"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"title": 5}', 422),
        (b'{"titel": "Roof"}', 422),
        (b'{"title": "' + b"x" * 201 + b'"}', 422),
        (b'{"title": "a\\u0000b"}', 400),
        (b'{"title": ', 400),
        (b"[]", 400),
        (b'{"notes": "' + b"x" * 200_000 + b'"}', 413),
        (b"\xff", 400),
    ],
)
async def test_a_body_that_does_not_fit_is_refused(
    client: httpx.AsyncClient, tenant: Tenant, body: bytes, status: int
) -> None:
    """Each way of being wrong has its status, and a problem document says what to do."""
    headers = tenant.headers | {"content-type": "application/json"}
    answer = await client.post("/v1/visits", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


async def test_a_form_is_not_json(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """Another content type is 415."""
    answer = await client.post("/v1/visits", data={"title": "Roof"}, headers=tenant.headers)
    assert answer.status_code == 415


@pytest.mark.parametrize("limit", ["0", "-1", "201", "many"])
async def test_a_limit_out_of_range_is_400(client: httpx.AsyncClient, tenant: Tenant, limit: str) -> None:
    """The message says the range."""
    answer = await client.get("/v1/visits", params={"limit": limit}, headers=tenant.headers)
    assert answer.status_code == 400
    assert "200" in answer.json()["detail"]


async def test_nobody_elses_visit(client: httpx.AsyncClient, visit: str, tenant: Tenant, other_tenant: Tenant) -> None:
    """Another tenant's visit is as unknown as one that never was; a bad id is 400."""
    headers = other_tenant.headers
    assert (await client.get(f"/v1/visits/{visit}", headers=headers)).status_code == 404
    assert (await client.patch(f"/v1/visits/{visit}", json={"title": "mine"}, headers=headers)).status_code == 404
    event = {"event": "upload_failed", "payload": {}}
    assert (await client.post(f"/v1/visits/{visit}/sync-events", json=event, headers=headers)).status_code == 404
    assert (await client.get("/v1/visits", headers=headers)).json()["visits"] == []
    assert (await client.get(f"/v1/visits/{uuid4()}", headers=tenant.headers)).status_code == 404
    assert (await client.get("/v1/visits/42", headers=tenant.headers)).status_code == 400


async def test_the_app_reports_what_happened_offline(
    client: httpx.AsyncClient, tenant: Tenant, visit: str, service: Database
) -> None:
    """A sync event is kept with its visit, tenant and user."""
    event = {"event": "upload_failed", "payload": {"attempts": 5}}
    answer = await client.post(f"/v1/visits/{visit}/sync-events", json=event, headers=tenant.headers)
    assert answer.status_code == 201, answer.text
    async with service.as_system() as conn:
        row: Any = await conn.fetchrow("SELECT * FROM visit_sync_events WHERE visit_id = $1", visit)
    assert (row["event"], row["payload"], row["tenant_id"], row["created_by"]) == (
        "upload_failed",
        {"attempts": 5},
        tenant.id,
        tenant.user_id,
    )


async def test_an_event_has_a_name(client: httpx.AsyncClient, tenant: Tenant, visit: str) -> None:
    """Without one, or with one no alert could ever name, it is refused."""
    for event in ({}, {"event": ""}, {"event": "Upload Failed"}, {"event": "x", "payload": []}):
        answer = await client.post(f"/v1/visits/{visit}/sync-events", json=event, headers=tenant.headers)
        assert answer.status_code == 422


async def test_visits_need_their_flag(
    client: httpx.AsyncClient, app: Starlette, tenant: Tenant, visit: str, admin: Any
) -> None:
    """With `visits.enabled` off nothing is opened or read, by a gateway that knew it as on too."""
    await set_flags(admin, app, tenant, {"visits": {"enabled": False}})
    assert (await client.post("/v1/visits", json={}, headers=tenant.headers)).status_code == 404
    answer = await client.get(f"/v1/visits/{visit}", headers=tenant.headers)
    assert answer.status_code == 404
    assert "visits.enabled" in answer.json()["detail"]
