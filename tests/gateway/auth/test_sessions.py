"""Browsers' sessions: what the cookie opens, when it is replaced, and how it ends."""

import base64
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth import credentials, sessions
from gateway.auth.sessions import LOOPBACK_COOKIE, SECURE_COOKIE
from store.accounts import sessions as rows
from store.errors import Forbidden, Unauthenticated
from store.pool import Database
from tests.support.waiting import until
from tests.tenants import Admin, Tenant, make_member, open_session

HOME = "127.0.0.1:8000"


def cookie(value: str, name: str = LOOPBACK_COOKIE, host: str = HOME) -> dict[str, str]:
    """Headers of a browser on this machine."""
    return {"cookie": f"{name}={value}", "host": host}


def request_of(app: Starlette, *, scheme: str = "https", host: str = "app.example", **headers: str) -> Request:
    """A browser's request, from another machine unless it is plain HTTP."""
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "scheme": scheme,
        "server": (host, 443),
        "client": ("203.0.113.9", 50_000),
        "headers": [(b"host", host.encode()), *((k.encode(), v.encode()) for k, v in headers.items())],
        "state": {"context": app.state.context},
        "app": app,
    }
    return Request(scope)


def given(response: Response) -> tuple[str, str]:
    """The cookie that a response sets, and its attributes."""
    name_value, _, attributes = response.headers["set-cookie"].partition(";")
    return name_value.partition("=")[2], attributes


async def test_a_session_acts_as_its_user(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """The cookie alone says who is asking, and for which company."""
    answer = await client.get("/v1/me", headers=cookie(tenant.session))
    assert (answer.status_code, answer.json()["tenant"]["id"]) == (200, str(tenant.id))


@pytest.mark.parametrize("change", ["secret", "id", "short", "token", "empty"])
async def test_another_cookie_is_nobodys(client: httpx.AsyncClient, tenant: Tenant, change: str) -> None:
    """A wrong secret, an unknown id, a text of another form and a JWT are all 401."""
    raw = base64.urlsafe_b64decode(tenant.session)
    value = {
        "secret": base64.urlsafe_b64encode(raw[:16] + bytes(32)).decode(),
        "id": base64.urlsafe_b64encode(uuid4().bytes + raw[16:]).decode(),
        "short": tenant.session[:-4],
        "token": tenant.token(),
        "empty": "",
    }[change]
    assert (await client.get("/v1/me", headers=cookie(value))).status_code == 401


@pytest.mark.parametrize(
    ("name", "host"), [(LOOPBACK_COOKIE, "app.example"), (SECURE_COOKIE, HOME), (LOOPBACK_COOKIE, "rebound.example")]
)
async def test_a_plain_cookie_counts_on_this_machine_alone(
    client: httpx.AsyncClient, tenant: Tenant, name: str, host: str
) -> None:
    """Over plain HTTP under another name the loopback cookie is no session, nor is the secure one."""
    assert (await client.get("/v1/me", headers=cookie(tenant.session, name, host))).status_code == 401


async def test_a_session_over_tls_is_a_host_cookie(app: Starlette, tenant: Tenant) -> None:
    """`__Host-`, Secure, HttpOnly, SameSite=Lax, without a domain: no sibling host can set or read it."""
    response = Response()
    await sessions.start(request_of(app), response, user_id=tenant.user_id, way="code")
    value, attributes = given(response)
    assert response.headers["set-cookie"].startswith("__Host-scopekit=")
    assert {part.strip().lower() for part in attributes.split(";")} >= {"secure", "httponly", "path=/", "samesite=lax"}
    assert "domain" not in attributes.lower()
    request = request_of(app, cookie=f"{SECURE_COOKIE}={value}")
    principal = await sessions.of_cookie(request)
    assert principal is not None
    assert (principal.user_id, principal.tenant_id) == (tenant.user_id, tenant.id)


async def test_no_session_without_tls(app: Starlette, tenant: Tenant) -> None:
    """A proxy that does not say `https` is refused in words that say so."""
    with pytest.raises(Forbidden, match="HTTPS"):
        await sessions.start(request_of(app, scheme="http"), Response(), user_id=tenant.user_id, way="code")


async def test_signing_in_replaces_the_session_of_the_browser(app: Starlette, admin: Admin, tenant: Tenant) -> None:
    """Session fixation: what the browser held before opens nothing after, whoever planted it."""
    before = await open_session(admin, (await make_member(admin, tenant)).user_id, tenant.id)
    response = Response()
    request = request_of(app, cookie=f"{SECURE_COOKIE}={before}")
    await sessions.start(request, response, user_id=tenant.user_id, way="code")
    assert given(response)[0] != before
    with pytest.raises(Unauthenticated):
        await sessions.of_cookie(request)


async def test_only_hashes_are_kept(admin: Admin, tenant: Tenant) -> None:
    """No column of the row holds what is in the cookie."""
    held = credentials.parse(tenant.session)
    assert held is not None
    row = await admin.fetchrow("SELECT * FROM sessions WHERE id = $1", held.id)
    assert row is not None
    assert held.secret not in row.values()
    assert row["secret_hash"] == held.secret_hash


async def test_an_ended_session_opens_nothing_within_a_second(
    client: httpx.AsyncClient, db: Database, tenant: Tenant
) -> None:
    """It was used a moment ago, so this process remembers it."""
    assert (await client.get("/v1/me", headers=cookie(tenant.session))).status_code == 200
    async with db.as_system() as conn:
        assert await rows.end(conn, tenant.user_id, credentials_id(tenant.session)) == 1

    async def is_out() -> bool:
        return (await client.get("/v1/me", headers=cookie(tenant.session))).status_code == 401

    await until(is_out, 2)


async def test_a_removed_member_is_out_and_the_session_acts_for_nobody(
    client: httpx.AsyncClient, admin: Admin, tenant: Tenant
) -> None:
    """403 within a second: they are signed in, and belong to no company."""
    member = await make_member(admin, tenant)
    assert (await client.get("/v1/me", headers=cookie(member.session))).status_code == 200
    await admin.execute("DELETE FROM memberships WHERE user_id = $1", member.user_id)

    async def is_out() -> bool:
        return (await client.get("/v1/me", headers=cookie(member.session))).status_code == 403

    await until(is_out, 2)
    assert await admin.fetchval("SELECT tenant_id FROM sessions WHERE user_id = $1", member.user_id) is None


async def test_a_change_of_rights_rotates_the_secret_once(app: Starlette, admin: Admin, tenant: Tenant) -> None:
    """Of several requests one is given the new secret; the old one holds for those under way."""
    member = await make_member(admin, tenant)
    await admin.execute("UPDATE memberships SET role = 'admin' WHERE user_id = $1", member.user_id)
    request = request_of(app, cookie=f"{SECURE_COOKIE}={member.session}")
    app.state.context.hub.on_session = lambda _id: None  # the notification is late
    first, second = Response(), Response()
    await sessions.rotate_if_due(request, first)
    value, _ = given(first)
    fresh = request_of(app, cookie=f"{SECURE_COOKIE}={value}")
    assert await sessions.of_cookie(fresh) is not None
    assert await sessions.of_cookie(request) is not None
    await sessions.rotate_if_due(request, second)
    assert "set-cookie" not in second.headers
    await admin.execute(
        "UPDATE sessions SET rotated_at = now() - interval '2 minutes' WHERE user_id = $1", member.user_id
    )
    app.state.context.sessions.forget(str(credentials_id(value)))
    with pytest.raises(Unauthenticated):
        await sessions.of_cookie(request)


async def test_a_session_is_over_after_thirty_days_unused_and_ninety_in_all(
    db: Database, admin: Admin, tenant: Tenant
) -> None:
    """Both by the database's clock; use extends the first, nothing the second."""
    session_id = credentials_id(tenant.session)
    ages = [("29 days", "29 days", True), ("31 days", "31 days", False), ("1 minute", "89 days", True)]
    for unused, age, lives in [*ages, ("1 minute", "90 days 1 minute", False)]:
        await admin.execute(
            "UPDATE sessions SET last_used_at = now() - $2::text::interval, created_at = now() - $3::text::interval, "
            "ends_at = now() - $3::text::interval + interval '90 days' WHERE id = $1",
            *(session_id, unused, age),
        )
        async with db.as_system() as conn:
            assert (await rows.read(conn, session_id) is not None) == lives, (unused, age)


async def test_a_session_changes_to_a_company_of_its_user_alone(
    db: Database, admin: Admin, tenant: Tenant, other_tenant: Tenant
) -> None:
    """Membership is checked for the company that is chosen."""
    session_id = credentials_id(tenant.session)
    async with db.as_system() as conn:
        assert not await rows.choose_company(conn, session_id, other_tenant.id)
        await admin.execute("INSERT INTO memberships VALUES ($1, $2, 'viewer')", other_tenant.id, tenant.user_id)
        assert await rows.choose_company(conn, session_id, other_tenant.id)
        found = await rows.read(conn, session_id)
        assert found is not None
        assert (found.tenant_id, found.must_rotate) == (other_tenant.id, True)
        companies = await rows.companies_of(conn, tenant.user_id)
    assert {row["tenant_id"]: row["role"] for row in companies} == {tenant.id: "owner", other_tenant.id: "viewer"}


def credentials_id(text: str) -> UUID:
    """The id in a cookie's value."""
    held = credentials.parse(text)
    assert held is not None
    return held.id
