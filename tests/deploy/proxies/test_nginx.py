"""The nginx configuration that we ship, before the running gateway: streams at once, uploads as they come."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from store.objects.objects import ObjectStore
from store.pool import Database
from tests.deploy.proxies.nginx import PROGRAM, configure, nginx
from tests.gateway.shares.documents import make_share
from tests.gateway.shares.documents import make_visit as make_estimate
from tests.gateway.uploads.files import files
from tests.product import Product
from tests.realtime.feed.watcher import SECONDS, is_open, path, watch
from tests.realtime.stream_gateway import make_visit, tell
from tests.support.ci import skip_or_fail
from tests.tenants import Tenant

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Front:
    """Where nginx listens, and whom to trust for it."""

    url: str
    trust: ssl.SSLContext


@pytest.fixture(scope="module")
def front(server: Product, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Run nginx before the gateway."""
    if PROGRAM is None:
        skip_or_fail("nginx is not installed: apt-get install nginx-light")
    directory = tmp_path_factory.mktemp("nginx")
    main, port, cert = configure(directory, urlsplit(server.url).port or 0)
    trust = ssl.create_default_context(cafile=str(cert))
    with nginx(main):
        url = f"https://127.0.0.1:{port}"
        with httpx.Client(base_url=url, verify=trust, transport=httpx.HTTPTransport(verify=trust, retries=8)) as client:
            assert client.get("/livez").status_code == 200
        yield Front(url, trust)


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
async def test_events_come_through_at_once(front: Front, db: Database, tenant: Tenant, http2: bool) -> None:
    """Each is seen while the next is not even written: nothing waits for a buffer to fill."""
    visit = await make_visit(db, tenant)
    async with watch(front.url, path(visit), headers=tenant.headers, verify=front.trust, http2=http2) as watcher:
        assert watcher.response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        assert watcher.response.headers["content-type"] == "text/event-stream"
        await watcher.until(is_open)
        for _ in range(3):
            await watcher.until_seq(await tell(db, tenant, visit, "a.b"))
        assert not watcher.closed.is_set()
        await tell(db, tenant, visit, "job.completed")
        await watcher.until_closed()
    assert (watcher.seqs, watcher.broken) == ([1, 2, 3, 4], False)


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/v1/nothing"])
async def test_browsers_are_told_to_insist_on_https(front: Front, path: str) -> None:
    """By every answer, nginx's own and the gateway's, also by errors."""
    async with httpx.AsyncClient(base_url=front.url, verify=front.trust) as client:
        answer = await client.get(path)
    assert answer.headers.get_list("strict-transport-security") == ["max-age=31536000"]


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
async def test_an_upload_goes_on_as_it_comes(front: Front, tenant: Tenant, objects: ObjectStore, http2: bool) -> None:
    """Of 20 MB, parts lie in the store before the last byte is sent; then all of it is one medium."""
    whole = files.jpeg() + os.urandom(20 * MEGABYTE - len(files.jpeg()))

    async def in_two_halves() -> AsyncIterator[bytes]:
        yield whole[: 15 * MEGABYTE]
        async with asyncio.timeout(SECONDS):
            while not await objects.unfinished(f"{tenant.id}/"):  # noqa: ASYNC110 - the store rings nobody
                await asyncio.sleep(0.02)
        yield whole[15 * MEGABYTE :]

    async with httpx.AsyncClient(
        base_url=front.url, headers=tenant.headers, verify=front.trust, http2=http2, timeout=SECONDS
    ) as client:
        visit = (await client.post("/v1/visits", json={})).json()["id"]
        answer = await client.post(
            f"/v1/visits/{visit}/media", content=in_two_halves(), headers={"content-type": "image/jpeg"}
        )
    assert (answer.status_code, answer.json()["file_size"]) == (201, 20 * MEGABYTE)


@dataclass(frozen=True)
class Opening:
    """Somebody who opens a share: from which loopback address, by nginx or not, claiming which address."""

    address: str
    by_nginx: bool
    claims: str | None
    seen: str


@pytest.mark.parametrize(
    "opening",
    [
        Opening("127.5.0.1", by_nginx=True, claims=None, seen="127.5.0.0/24"),
        Opening("127.6.0.1", by_nginx=True, claims="203.0.113.9", seen="127.6.0.0/24"),
        Opening("127.7.0.1", by_nginx=False, claims="203.0.113.9", seen="127.7.0.0/24"),
        Opening("127.0.0.1", by_nginx=False, claims="203.0.113.9", seen="203.0.113.0/24"),
    ],
    ids=["through nginx", "a claim through nginx", "a claim from elsewhere", "the proxy's own word"],
)
async def test_an_address_is_believed_from_the_proxy_alone(
    front: Front, server: Product, service: Database, client: httpx.AsyncClient, tenant: Tenant, opening: Opening
) -> None:
    """Whoever claims to come from elsewhere is known by where they are."""
    share = await make_share(client, tenant, await make_estimate(service, tenant))
    where = front.url if opening.by_nginx else server.url
    headers = {"sec-fetch-site": "same-origin"} | ({"x-forwarded-for": opening.claims} if opening.claims else {})
    transport = httpx.AsyncHTTPTransport(verify=front.trust, local_address=opening.address)
    async with httpx.AsyncClient(base_url=where, transport=transport, headers=headers, timeout=SECONDS) as customer:
        assert (await customer.post(f"/e/{share['token']}/open", data={})).status_code == 303
    timeline: dict[str, Any] = (await client.get(f"/v1/shares/{share['id']}/timeline", headers=tenant.headers)).json()
    assert [event["address_prefix"] for event in timeline["events"]] == [opening.seen]


async def test_numbers_are_not_for_the_world(front: Front) -> None:
    """`/metrics` ends at the proxy; http is sent on to https by name."""
    async with httpx.AsyncClient(base_url=front.url, verify=front.trust) as client:
        assert (await client.get("/metrics")).status_code == 404
