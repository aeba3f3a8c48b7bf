import asyncio
import os
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest

from store.objects.objects import MEDIA_BYTES, ObjectStore
from tests.gateway.uploads.files import files
from tests.product import Product
from tests.tenants import Tenant


@pytest.fixture
async def caller(server: Product, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    """Call the running gateway as the tenant."""
    async with httpx.AsyncClient(base_url=server.url, headers=tenant.headers, timeout=60) as client:
        yield client


@pytest.fixture
async def path(caller: httpx.AsyncClient) -> str:
    """Open a visit and return where its media are posted."""
    visit_id = (await caller.post("/v1/visits", json={})).json()["id"]
    return f"/v1/visits/{visit_id}/media"


async def _connect(
    server: Product, path: str, tenant: Tenant, *more: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    where = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: {where.netloc}",
        f"Authorization: {tenant.headers['authorization']}",
        "Content-Type: image/jpeg",
        *more,
    ]
    writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
    return reader, writer


async def test_too_long_is_refused_before_the_client_sends(server: Product, tenant: Tenant, path: str) -> None:
    """A client that asks first (Expect: 100-continue) hears 413 and never `continue`."""
    reader, writer = await _connect(server, path, tenant, f"Content-Length: {MEDIA_BYTES + 1}", "Expect: 100-continue")
    async with asyncio.timeout(10):
        assert (await reader.readline()).split()[1] == b"413"
    writer.close()


async def test_a_cut_connection_leaves_nothing(
    server: Product, tenant: Tenant, path: str, objects: ObjectStore
) -> None:
    """Cut in the middle of its second part, an upload's object and parts are gone soon after."""
    _, writer = await _connect(server, path, tenant, "Content-Length: 50000000")
    writer.write(files.jpeg() + os.urandom(12 * 1024 * 1024))
    async with asyncio.timeout(20):
        await writer.drain()
        while not await objects.unfinished(f"{tenant.id}/"):  # noqa: ASYNC110 - the store rings nobody
            await asyncio.sleep(0.02)
        writer.transport.abort()
        while await objects.unfinished(f"{tenant.id}/"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert not await objects.keys(f"{tenant.id}/")


async def test_a_slow_upload_and_a_bomb_hold_up_nobody(
    server: Product, tenant: Tenant, path: str, caller: httpx.AsyncClient
) -> None:
    """While one client trickles and others send what is hard to open, the gateway answers as ever."""
    _, trickle = await _connect(server, path, tenant, "Content-Length: 50000000")
    trickle.write(files.jpeg())
    bomb = files.jpeg(6_000, 6_000, exif=False)
    bombs = [
        asyncio.create_task(caller.post(path, content=bomb, headers={"content-type": "image/jpeg"})) for _ in range(3)
    ]
    slowest = 0.0
    while (await asyncio.wait(bombs, timeout=0.05))[1]:
        began = time.perf_counter()
        assert (await caller.get("/livez")).status_code == 200
        slowest = max(slowest, time.perf_counter() - began)
    assert [task.result().json()["width"] for task in bombs] == [6_000] * 3
    assert slowest < 1.0
    trickle.transport.abort()
