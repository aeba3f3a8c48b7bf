"""A token says who is asking; what they may do is their membership row, at every address and within a second."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from gateway.app import all_routes
from gateway.catalogue import describe
from store.accounts.membership_cache import MembershipCache
from store.pool import Database
from tests.store.schema.rows import fill_every_table
from tests.tenants import Admin, Tenant, make_member

# What a viewer may ask for although it is a POST: to watch, and which files are missing.
READING_POSTS = {
    "POST /v1/visits/{visit_id}/progress/ticket",
    "POST /v1/visits/{visit_id}/media/check",
    "POST /functions/v1/sse-progress",
}
# A viewer may leave the company by it, and no more.
LEAVING = "POST /company/people/{user_id}"
BY_TOKEN = {"token", "session"}
# Checked before anything else at the addresses of tus, and nowhere else.
OF_TUS = {"tus-resumable": "1.0.0", "x-http-method-override": "DELETE"}
# Discarding a recording that is not there is done, as it is after the first time.
DONE_ALREADY = "/v1/visits/{visit_id}/recordings/{recording_id}"
DEADLINE_SECONDS = 10.0


def _operations(doc: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in doc["paths"].items():
        for method, operation in operations.items():
            schemes = {name for way in operation.get("security", ()) for name in way}
            if schemes >= BY_TOKEN and not path.startswith(("/ops", "/demo")):
                yield method.upper(), path, operation


OPERATIONS = sorted((method, path) for method, path, _ in _operations(describe(all_routes())))
# A person's own sessions and companies, of which a person may have none.
OF_A_PERSON = "/company/you"
OF_A_COMPANY = [(method, path) for method, path in OPERATIONS if not path.startswith(OF_A_PERSON)]


@pytest.fixture
async def belongings(admin: Admin, tenant: Tenant) -> dict[str, str]:
    """Ids of a tenant that has a row in every table, by the name of the parameter."""
    visit = await fill_every_table(admin, tenant)
    found = {"visit_id": str(visit)}
    for name, table in (
        *(("media_id", "site_visit_media"), ("job_id", "ai_jobs"), ("estimate_id", "estimates")),
        *(("share_id", "shares"), ("item_id", "price_items"), ("upload_id", "resumable_uploads")),
    ):
        found[name] = str(await admin.fetchval(f"SELECT id FROM {table} WHERE tenant_id = $1 LIMIT 1", tenant.id))
    return found


def _address(path: str, ids: dict[str, str]) -> str:
    while "{" in path:
        before, _, rest = path.partition("{")
        name, _, after = rest.partition("}")
        path = before + ids.get(name, "1" if name in ("version", "number") else str(UUID(int=0))) + after
    return path


def _watched(path: str, visit_id: str) -> dict[str, str] | None:
    """Return the query that names a visit, at the addresses that take one."""
    return {"visit_id": visit_id} if path in ("/v1/progress", "/functions/v1/sse-progress") else None


async def _ask(client: httpx.AsyncClient, method: str, path: str, ids: dict[str, str], who: Tenant) -> httpx.Response:
    body: dict[str, str] | None = None if method in ("GET", "HEAD", "DELETE") else {}
    headers = OF_TUS | who.headers
    return await client.request(
        method, _address(path, ids), headers=headers, params=_watched(path, ids["visit_id"]), json=body
    )


def test_the_walk_covers_the_document() -> None:
    """Every operation that takes a token is walked; an empty walk would pass everything."""
    assert len(OPERATIONS) > 40
    assert ("POST", "/v1/visits") in OPERATIONS


@pytest.mark.parametrize(("method", "path"), OF_A_COMPANY)
async def test_a_token_without_a_membership_row_opens_nothing(
    client: httpx.AsyncClient, tenant: Tenant, belongings: dict[str, str], method: str, path: str
) -> None:
    """Signed by a key in force, and naming the tenant: 403."""
    nobody = Tenant(tenant.id, uuid4(), "none", tenant.claims | {"sub": str(uuid4())})
    answer = await _ask(client, method, path, belongings, nobody)
    assert answer.status_code == 403, answer.text


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_an_expired_token_opens_nothing(
    client: httpx.AsyncClient, tenant: Tenant, belongings: dict[str, str], method: str, path: str
) -> None:
    """401, at every address alike."""
    headers = OF_TUS | {"authorization": f"Bearer {tenant.token(seconds=-60)}"}
    answer = await client.request(
        method, _address(path, belongings), headers=headers, params=_watched(path, str(uuid4()))
    )
    assert answer.status_code == 401, answer.text


async def _removed(client: httpx.AsyncClient, admin: Admin, member: Tenant, change: str, *values: Any) -> None:
    """Change a membership row that the gateway remembers, and wait for the gateway to know."""
    before = (await client.get("/v1/me", headers=member.headers)).json()
    await admin.execute(change, *values)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (await client.get("/v1/me", headers=member.headers)).json() == before:
            continue  # each question is a round trip


async def test_a_removed_member_is_refused_everywhere(
    client: httpx.AsyncClient, admin: Admin, tenant: Tenant, belongings: dict[str, str]
) -> None:
    """With the token that was good a moment ago, while its holder is connected."""
    member = await make_member(admin, tenant, "admin")
    await _removed(client, admin, member, "DELETE FROM memberships WHERE user_id = $1", member.user_id)
    answers = {
        f"{method} {path}": (await _ask(client, method, path, belongings, member)).status_code
        for method, path in OF_A_COMPANY
    }
    assert {name: status for name, status in answers.items() if status != 403} == {}


async def test_a_member_demoted_to_viewer_changes_nothing_more(
    client: httpx.AsyncClient, admin: Admin, tenant: Tenant, belongings: dict[str, str]
) -> None:
    """Every change is refused, and nothing that is only read."""
    member = await make_member(admin, tenant, "owner")
    change = "UPDATE memberships SET role = 'viewer' WHERE user_id = $1"
    await _removed(client, admin, member, change, member.user_id)
    changes = {
        f"{method} {path}": (await _ask(client, method, path, belongings, member)).status_code
        for method, path in OF_A_COMPANY
        if method != "GET" and f"{method} {path}" not in READING_POSTS | {LEAVING}
    }
    assert {name: status for name, status in changes.items() if status != 403} == {}
    for name in ("/v1/visits", "/v1/visits/{visit_id}", "/v1/branding", "/v1/me"):
        assert (await _ask(client, "GET", name, belongings, member)).status_code == 200, name
    ticket = await _ask(client, "POST", "/v1/visits/{visit_id}/progress/ticket", belongings, member)
    assert ticket.status_code == 201, ticket.text


@pytest.mark.parametrize(("method", "path"), [each for each in OPERATIONS if "{" in each[1]])
async def test_foreign_and_unknown_ids_answer_alike(
    client: httpx.AsyncClient,
    other_tenant: Tenant,
    belongings: dict[str, str],
    method: str,
    path: str,
) -> None:
    """Whoever asks for another tenant's row learns nothing from the answer, not even that it is there."""
    unknown = {name: str(uuid4()) for name in belongings}
    foreign = await _ask(client, method, path, belongings, other_tenant)
    nothing = await _ask(client, method, path, unknown, other_tenant)
    assert foreign.status_code == nothing.status_code
    assert foreign.status_code >= 400 or path == DONE_ALREADY, foreign.text
    assert _without_id(foreign) == _without_id(nothing)


def _without_id(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json() if answer.content else {}
    return {name: value for name, value in body.items() if name != "correlation_id"}


async def test_an_upload_under_way_ends_with_its_members_row(
    client: httpx.AsyncClient, admin: Admin, tenant: Tenant, belongings: dict[str, str]
) -> None:
    """Removed between two chunks, its next chunk is refused, and no row is left."""
    member = await make_member(admin, tenant)
    before = await admin.fetchval("SELECT count(*) FROM site_visit_media WHERE tenant_id = $1", tenant.id)

    async def body() -> AsyncIterator[bytes]:
        yield b"\xff\xd8\xff\xe0" + bytes(4096)
        await admin.execute("DELETE FROM memberships WHERE user_id = $1", member.user_id)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (await client.get("/v1/me", headers=member.headers)).status_code != 403:
                continue  # each question is a round trip
        yield bytes(4096)

    headers = member.headers | {"content-type": "image/jpeg"}
    answer = await client.post(f"/v1/visits/{belongings['visit_id']}/media", headers=headers, content=body())
    assert answer.status_code == 403, answer.text
    after = await admin.fetchval("SELECT count(*) FROM site_visit_media WHERE tenant_id = $1", tenant.id)
    assert after == before


class _Deaf:
    """A gateway that hears nothing, and its clock."""

    now = 0.0


async def test_a_gateway_that_hears_nothing_asks_again_within_a_second(
    db: Database, admin: Admin, tenant: Tenant
) -> None:
    """Without word of changes, what is remembered is good for less than a second."""
    deaf = _Deaf()
    cache = MembershipCache(db, lambda: None, lambda: deaf.now)
    assert await cache.role(tenant.id, tenant.user_id) == "owner"
    await admin.execute("DELETE FROM memberships WHERE user_id = $1", tenant.user_id)
    assert await cache.role(tenant.id, tenant.user_id) == "owner"
    deaf.now += 1.0
    assert await cache.role(tenant.id, tenant.user_id) is None
