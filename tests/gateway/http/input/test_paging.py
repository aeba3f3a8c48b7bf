"""Lists: pages by cursor, filters, and parameters that no address knows."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from gateway.http.input.paging import cursor, read_cursor
from store.errors import InvalidInput
from tests.gateway.uploads.files import files
from tests.support.lists import read_all
from tests.support.waiting import until
from tests.tenants import Tenant, make_tenant

if TYPE_CHECKING:
    import asyncpg


async def _get(client: httpx.AsyncClient, tenant: Tenant, path: str, **params: Any) -> dict[str, Any]:
    answer = await client.get(path, params=params, headers=tenant.headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _visit(client: httpx.AsyncClient, tenant: Tenant, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/visits", json=fields, headers=tenant.headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_every_visit_is_on_one_page(
    client: httpx.AsyncClient, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """Of 201 visits none is missed and none comes twice, though many were made at the same moment."""
    await admin.execute(
        "INSERT INTO site_visits (tenant_id, title, created_at) "
        "SELECT $1, n::text, now() - (n / 50) * interval '1 hour' FROM generate_series(1, 201) n",
        tenant.id,
    )
    found = await read_all(client, tenant, "/v1/visits", "visits", limit=40)
    assert len({visit["id"] for visit in found}) == len(found) == 201
    assert all(newer["created_at"] >= older["created_at"] for newer, older in pairwise(found))


async def test_visits_are_filtered(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """By customer, words, state, another system's id and the time of their last change."""
    roof = await _visit(client, tenant, title="Roof", customer_name="María López", external_id="crm-7")
    deck = await _visit(client, tenant, title="Deck", notes="Composite boards", metadata={"source": "web"})
    cases: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        ({"customer": "lopez"}, [roof]),
        ({"q": "composite"}, [deck]),
        ({"external_id": "crm-7"}, [roof]),
        ({"state": ["open", "draft"]}, [deck, roof]),
        ({"state": "accepted"}, []),
        ({"status": "in_progress", "q": "roof"}, [roof]),
        ({"updated_since": deck["updated_at"]}, [deck]),
    ]
    for params, expected in cases:
        found = (await _get(client, tenant, "/v1/visits", **params))["visits"]
        assert [visit["id"] for visit in found] == [visit["id"] for visit in expected], params
    assert (deck["metadata"], deck["external_id"], deck["state"]) == ({"source": "web"}, None, "open")


async def test_an_external_id_is_one_visits(client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant) -> None:
    """A second visit cannot have it, whether new or changed, and hears which one has; another company can."""
    roof = await _visit(client, tenant, external_id="crm-7")
    deck = await _visit(client, tenant)
    again = await client.post("/v1/visits", json={"external_id": "crm-7"}, headers=tenant.headers)
    changed = await client.patch(f"/v1/visits/{deck['id']}", json={"external_id": "crm-7"}, headers=tenant.headers)
    for answer in (again, changed):
        assert (answer.status_code, answer.json()["code"]) == (409, "external_id_taken")
        assert answer.json()["visit_id"] == roof["id"]
    await _visit(client, other_tenant, external_id="crm-7")


@pytest.mark.parametrize(
    ("path", "field", "code"),
    [
        ("/v1/visits?offset=50", "offset", "unknown_parameter"),
        ("/v1/visits?page=2&limit=5", "page", "unknown_parameter"),
        ("/v1/price-items?query=x", "query", "unknown_parameter"),
        ("/v1/me?verbose", "verbose", "unknown_parameter"),
        ("/v1/visits?after=nonsense", "after", "invalid_parameter"),
        ("/v1/visits?after=WzEsMl0", "after", "invalid_parameter"),
        ("/v1/price-items?q=x&after=WzUwMDAwXQ", "after", "invalid_parameter"),
        ("/v1/changes?after=WzEsMl0", "after", "invalid_parameter"),
        ("/v1/visits?state=unheard_of", "state", "invalid_parameter"),
        ("/v1/visits?updated_since=2026-11-30T09:00:00", "updated_since", "invalid_parameter"),
        ("/v1/visits?updated_since=yesterday", "updated_since", "invalid_parameter"),
        ("/v1/jobs?status=lost", "status", "invalid_parameter"),
    ],
)
async def test_a_parameter_that_is_unknown_or_unusable_is_named(
    client: httpx.AsyncClient, tenant: Tenant, path: str, field: str, code: str
) -> None:
    """400 with its name: nothing is ignored."""
    answer = await client.get(path, headers=tenant.headers)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, code, field)


async def test_the_price_book_is_read_page_by_page(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """In its order, and as a search."""
    whole = await read_all(client, tenant, "/v1/price-items", "price_items", limit=3)
    assert len({item["id"] for item in whole}) == len(whole) == 10
    assert [(item["category"], item["description"]) for item in whole] == sorted(
        (item["category"], item["description"]) for item in whole
    )
    found = await read_all(client, tenant, "/v1/price-items", "price_items", q="installed", limit=1)
    assert {item["code"] for item in found} >= {"ELE-01", "PLU-01"}
    by_foot = await read_all(client, tenant, "/v1/price-items", "price_items", unit="lf")
    assert [item["code"] for item in by_foot] == ["ROO-02"]


async def test_a_price_item_is_read_changed_and_removed(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """By its id, and only while it is as it was read."""
    new = {"description": "Sill", "unit": "each", "unit_price": "12.00"}
    made = await client.post("/v1/price-items", json=new, headers=tenant.headers)
    path = made.headers["location"]
    mine = tenant.headers | {"if-match": made.headers["etag"]}
    assert (await client.get(path, headers=tenant.headers)).headers["etag"] == made.headers["etag"]
    changed = await client.patch(path, json={"unit_price": "14.00"}, headers=mine)
    assert (changed.status_code, changed.json()["unit_price"], changed.json()["description"]) == (200, "14.00", "Sill")
    assert (await client.patch(path, json={"unit": "ft"}, headers=mine)).status_code == 412
    assert (await client.delete(path, headers=mine)).status_code == 412
    assert (await client.delete(path, headers=tenant.headers)).status_code == 204
    assert (await client.get(path, headers=tenant.headers)).status_code == 404


async def test_another_companys_price_item_is_unknown(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant
) -> None:
    """Whatever is asked of it."""
    item = (await _get(client, other_tenant, "/v1/price-items", limit=1))["price_items"][0]
    path = f"/v1/price-items/{item['id']}"
    for method in ("GET", "PATCH", "DELETE"):
        body: dict[str, str] | None = {} if method == "PATCH" else None
        assert (await client.request(method, path, json=body, headers=tenant.headers)).status_code == 404, method


async def test_jobs_are_listed(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """Of a visit or of all, newest first."""
    ids = []
    for _ in range(3):
        visit = await _visit(client, tenant, notes="Replace a toilet.")
        job = await client.post(f"/v1/visits/{visit['id']}/estimate", json={}, headers=tenant.headers)
        ids.append(job.json()["id"])
    found = await read_all(client, tenant, "/v1/jobs", "jobs", limit=2, status="queued")
    assert [job["id"] for job in found] == ids[::-1]
    assert [job["id"] for job in await read_all(client, tenant, "/v1/jobs", "jobs", visit_id=visit["id"])] == ids[-1:]
    assert await read_all(client, tenant, "/v1/jobs", "jobs", visit_id=str(uuid4())) == []


async def _until_told(client: httpx.AsyncClient, tenant: Tenant, after: str, count: int) -> None:
    """Ask until the feed has so many changes: an open transaction of any database of the server holds it up."""

    async def all_told() -> bool:
        return len((await _get(client, tenant, "/v1/changes", after=after))["changes"]) == count

    await until(all_told)


async def test_the_feed_tells_what_was_made_changed_and_removed(
    client: httpx.AsyncClient, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """From a position on: in order, deletions too, each company its own; the position can be used again."""
    tenant, other = await make_tenant(admin), await make_tenant(admin)
    begin = (await _get(client, tenant, "/v1/changes", after="latest"))["next"]
    visit = await _visit(client, tenant, title="Roof")
    await client.patch(f"/v1/visits/{visit['id']}", json={"title": "Deck"}, headers=tenant.headers)
    item = (await _get(client, tenant, "/v1/price-items", limit=1))["price_items"][0]
    await client.delete(f"/v1/price-items/{item['id']}", headers=tenant.headers)
    await _visit(client, other)
    await _until_told(client, tenant, begin, 3)
    page = await _get(client, tenant, "/v1/changes", after=begin, limit=2)
    assert [(change["kind"], change["action"]) for change in page["changes"]] == [
        ("visit", "created"),
        ("visit", "updated"),
    ]
    assert {change["id"] for change in page["changes"]} == {visit["id"]}
    assert page["has_more"]
    rest = await _get(client, tenant, "/v1/changes", after=page["next"])
    assert [(change["kind"], change["action"], change["id"]) for change in rest["changes"]] == [
        ("price_item", "deleted", item["id"])
    ]
    assert await _get(client, tenant, "/v1/changes", after=page["next"]) | {"next": ""} == rest | {"next": ""}
    assert (await _get(client, tenant, "/v1/changes", after=rest["next"]))["changes"] == []


async def test_a_change_that_commits_late_is_told_in_its_place(
    client: httpx.AsyncClient, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """While an older transaction is open, what began after it waits, so that a reader's position misses nothing."""
    begin = (await _get(client, tenant, "/v1/changes", after="latest"))["next"]
    transaction = admin.transaction()
    await transaction.start()
    late = await admin.fetchval("INSERT INTO site_visits (tenant_id) VALUES ($1) RETURNING id", tenant.id)
    early = await _visit(client, tenant)
    waiting = await _get(client, tenant, "/v1/changes", after=begin)
    assert waiting["changes"] == []
    await transaction.commit()
    await _until_told(client, tenant, waiting["next"], 2)
    told = await _get(client, tenant, "/v1/changes", after=waiting["next"])
    assert [change["id"] for change in told["changes"]] == [str(late), early["id"]]


async def test_a_position_that_is_too_old_is_refused(
    client: httpx.AsyncClient, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes behind it may be forgotten: 410 says to read everything anew."""
    begin = (await _get(client, tenant, "/v1/changes", after="latest"))["next"]
    monkeypatch.setattr("store.events.changes.KEPT", timedelta(seconds=-1))
    answer = await client.get("/v1/changes", params={"after": begin}, headers=tenant.headers)
    assert (answer.status_code, answer.json()["code"]) == (410, "changes_expired")


async def test_reports_of_apps_are_listed_and_read(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant
) -> None:
    """Newest first; each is where Location said."""
    visit = await _visit(client, tenant)
    path, made = f"/v1/visits/{visit['id']}/sync-events", []
    for attempts in range(3):
        report = {"event": "upload_failed", "payload": {"attempts": attempts}}
        made.append(await client.post(path, json=report, headers=tenant.headers))
    found = await read_all(client, tenant, path, "sync_events", limit=2)
    assert found == [answer.json() for answer in made[::-1]]
    assert await _get(client, tenant, made[0].headers["location"]) == made[0].json()
    for other in (path, made[0].headers["location"]):
        assert (await client.get(other, headers=other_tenant.headers)).status_code == 404


async def test_media_and_their_urls_are_read_page_by_page(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """In the order they were taken, each once."""
    visit = await _visit(client, tenant)
    sent = tenant.headers | {"content-type": "image/png"}
    for sequence in ("3", "1", "2"):
        answer = await client.post(
            f"/v1/visits/{visit['id']}/media", content=files.png(), headers=sent | {"x-sequence": sequence}
        )
        assert answer.status_code == 201, answer.text
    media = await read_all(client, tenant, f"/v1/visits/{visit['id']}/media", "media", limit=1)
    urls = await read_all(client, tenant, f"/v1/visits/{visit['id']}/media/urls", "urls", limit=2)
    assert [medium["sequence"] for medium in media] == [1, 2, 3]
    assert [url["media_id"] for url in urls] == [medium["id"] for medium in media]


@pytest.mark.parametrize(
    "after", ["x", "W10", "WyJ4Il0", "WzFd", "e30", "WyIyMDI2LTExLTMwVDA5OjAwOjAwWiIsMV0", "A" * 2000]
)
@pytest.mark.parametrize("path", ["/v1/visits", "/v1/jobs", "/v1/price-items"])
async def test_a_cursor_that_no_page_gave_is_refused(
    client: httpx.AsyncClient, tenant: Tenant, path: str, after: str
) -> None:
    """400 at `after`, whatever was made of it."""
    answer = await client.get(path, params={"after": after}, headers=tenant.headers)
    assert (answer.status_code, answer.json()["field"]) == (400, "after")


def test_a_cursor_that_was_changed_anywhere_is_refused() -> None:
    """Each of its characters counts, the unused bits of the last one too."""
    word = cursor((datetime(2026, 11, 30, 9, tzinfo=UTC), UUID(int=7)))
    assert read_cursor(word, datetime.fromisoformat, UUID) == (datetime(2026, 11, 30, 9, tzinfo=UTC), UUID(int=7))
    letters = "Aa0-_"
    changed = [word[:at] + each + word[at + 1 :] for at in range(len(word)) for each in letters if word[at] != each]
    for one in [*changed, word[:-1], word + "A", word + "="]:
        with pytest.raises(InvalidInput):
            read_cursor(one, datetime.fromisoformat, UUID)
