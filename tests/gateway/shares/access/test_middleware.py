"""What holds for every answer under /e/: headers, the words of errors, and nothing in the logs."""

import logging
import re
from typing import Any

import httpx
import pytest
import structlog

from gateway.shares.access import UNKNOWN_LINKS
from tests.gateway.shares.documents import Visit, customer_of, make_share, until_refused
from tests.support.contract import Witness
from tests.tenants import Tenant

HEADERS = {
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


def assert_framed(answer: httpx.Response) -> None:
    """Check the headers that keep a link to its holder."""
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "noindex" in answer.headers["x-robots-tag"]
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert "unsafe" not in str(policy)


async def test_every_answer_carries_the_headers(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """Pages, redirects and refusals alike: 200, 303, 400, 403, 404, 405, 409, 410, 413, 415, 422 and 429."""
    share = await make_share(client, tenant, visit)
    reader, stranger = customer_of(client, share), customer_of(client, share)
    gone = customer_of(client, await make_share(client, tenant, visit))
    await client.post(f"/v1/shares/{(await _last_id(client, tenant, visit))}/revoke", headers=tenant.headers)
    answers = [
        await stranger.look(),
        await reader.open(),
        await reader.look(),
        await stranger.decide(visit),
        await stranger.look("/nothing/here"),
        await stranger.http.request("DELETE", share["url"]),
        await stranger.http.request("OPTIONS", share["url"]),
        await reader.decide(visit, content_hash="0" * 64),
        await gone.look(),
        await reader.http.post(f"{share['url']}/open", content=b"x" * 30_000, headers=reader.headers),
        await reader.http.post(f"{share['url']}/open", files={"a": b"b"}, headers=reader.headers),
        await reader.decide(visit, "maybe"),
        await reader.look(f"/media/{visit.uncited}"),
        await reader.look("/media/not-a-uuid"),
        *await until_refused(lambda number: client.get(f"/e/{number:043}"), int(UNKNOWN_LINKS.burst)),
    ]
    for answer in answers:
        assert_framed(answer)
        assert answer.headers.get("content-type", "").startswith("text/html") or answer.status_code == 303
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 303, 400, 403, 404, 405, 409, 410, 413, 415, 422, 429}


async def test_photos_may_come_from_the_store_and_nothing_from_elsewhere(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, settings: Any
) -> None:
    """The policy names the store for images, and the page itself asks for nothing of another host."""
    share = await make_share(client, tenant, visit)
    reader = customer_of(client, share)
    await reader.open()
    page = await reader.look()
    assert f"img-src 'self' {settings.s3_endpoint_url};" in page.headers["content-security-policy"]
    asked_for = re.findall(r'(?:src|href|action)="([^"]*)"', page.text)
    assert asked_for
    assert [url for url in asked_for if not re.match(r"(/(?!/)|#|tel:|mailto:)", url)] == []
    assert "style=" not in page.text
    assert not re.search(r"<script(?![^>]* src=)", page.text)


async def test_an_error_of_ours_is_a_page_too(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, monkeypatch: pytest.MonkeyPatch, witness: Witness
) -> None:
    """What nobody foresaw is answered with 500, framed, with a number to quote and no trace."""
    share = await make_share(client, tenant, visit)

    async def broken(*_: object) -> None:
        raise RuntimeError("secret inner words")

    monkeypatch.setattr("store.shares.shares.by_token", broken)
    answer = await client.get(share["url"], headers={"accept": "text/html", "x-correlation-id": "call-4711"})
    assert answer.status_code == 500
    assert_framed(answer)
    assert "call-4711" in answer.text
    assert "secret inner words" not in answer.text
    plain = await client.get(share["url"], headers={"accept": "application/json"})
    assert (plain.status_code, plain.headers["content-type"]) == (500, "application/problem+json")
    witness.broken.clear()  # a fault of ours is nowhere described


async def test_no_token_is_ever_logged(
    client: httpx.AsyncClient,
    tenant: Tenant,
    visit: Visit,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither the link's token nor a session's secret, a passcode or a name is in any log line of a whole visit."""
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as lines:
        share = await make_share(client, tenant, visit, passcode="blue door")
        reader = customer_of(client, share)
        await reader.look()
        await reader.open(passcode="a wrong guess")
        opened = await reader.open(passcode="blue door")
        await reader.look()
        await reader.look(f"/media/{visit.cited}")
        await reader.decide(visit, "maybe")
        await reader.decide(visit, name="Signed Person")
    secret = opened.headers["set-cookie"].split("=", 1)[1].split(";")[0]
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    written = str(lines) + "\n".join(ours) + "".join(capsys.readouterr())
    assert "/e/{token}" in written
    for word in (share["token"], secret, "blue door", "a wrong guess", "Signed Person"):
        assert word not in written


async def _last_id(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> str:
    answer = await client.get(f"/v1/estimates/{visit.estimate['id']}/shares", headers=tenant.headers)
    share_id: str = answer.json()["shares"][0]["id"]
    return share_id
