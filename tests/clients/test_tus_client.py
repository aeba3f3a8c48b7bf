"""tus-js-client, in Node and in Chromium, on a line that breaks and at gateways that die: the file arrives, once."""

import base64
import hashlib
import json
import os
import random
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import async_playwright

from gateway.auth.sessions import LOOPBACK_COOKIE
from tests.browser.conftest import CHROMIUM, FLAGS, require
from tests.clients.clients import of_npm
from tests.clients.heard import Heard
from tests.gateway.uploads.files import files
from tests.product import Product, free_port, process, wait_until_ready
from tests.stack import Services
from tests.support.servers.proxy import Proxy, proxy_to
from tests.tenants import Tenant

pytestmark = pytest.mark.browser

SIZE = 12_000_000
IN_BROWSER = """([metadata, size, seed]) => {
    const bytes = new Uint8Array(size);
    bytes.set(Uint8Array.from(atob(seed), (letter) => letter.charCodeAt(0)));
    const upload = new tus.Upload(new Blob([bytes]), {
        endpoint: "/v1/uploads", metadata, retryDelays: Array(40).fill(300),
        onShouldRetry: (error) => { tell({ retry: error.originalResponse?.getStatus() ?? 0 }); return true; },
        onSuccess: () => tell({ stored: true }), onError: (error) => tell({ failed: String(error) }),
    });
    upload.start();
}"""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Write a large JPEG."""
    start = files.jpeg()
    path = tmp_path / "roof.jpg"
    path.write_bytes(start + os.urandom(SIZE - len(start)))
    return path


@pytest.fixture
async def caller(server: Product, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    """Call a gateway straight."""
    async with httpx.AsyncClient(base_url=server.url, headers=tenant.headers, timeout=60) as client:
        yield client


@pytest.fixture
async def visit(caller: httpx.AsyncClient) -> str:
    """Open a visit."""
    visit_id: str = (await caller.post("/v1/visits", json={})).json()["id"]
    return visit_id


@pytest.fixture
async def line(server: Product) -> AsyncIterator[Proxy]:
    """Lay a line to the gateway that can break."""
    async with proxy_to(server.url) as proxy:
        yield proxy


def _metadata(visit: str) -> dict[str, str]:
    return {"visit_id": visit, "media_id": files.new_id(), "filetype": "image/jpeg", "filename": "roof.jpg"}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def _must_be_stored(heard: Heard) -> None:
    await heard.until(lambda client: client.all("stored") or client.all("failed"))
    assert heard.all("failed") == []


async def _the_only_medium(caller: httpx.AsyncClient, visit: str) -> dict[str, Any]:
    (medium,) = (await caller.get(f"/v1/visits/{visit}/media")).json()["media"]
    found: dict[str, Any] = medium
    return found


@asynccontextmanager
async def _node(scripts: Path, line: Proxy, tenant: Tenant, *more: str) -> AsyncIterator[Heard]:
    async with of_npm(scripts / "tus.mjs", *more)(f"{line.url}/v1/uploads", tenant.token) as heard:
        yield heard


@pytest.mark.parametrize("seed", range(2))
async def test_a_line_that_breaks_again_and_again_in_node(
    scripts: Path, line: Proxy, tenant: Tenant, caller: httpx.AsyncClient, visit: str, photo: Path, seed: int
) -> None:
    """Cut at random offsets, the client asks where it stands and goes on; what arrives is the file."""
    chance = random.Random(seed)
    line.allowances = [chance.randrange(200, 4_500_000) for _ in range(8)]
    async with _node(scripts, line, tenant, str(photo), json.dumps(_metadata(visit))) as heard:
        await _must_be_stored(heard)
    assert heard.all("retry")
    medium = await _the_only_medium(caller, visit)
    assert medium["sha256"] == _sha256(photo)


async def test_small_chunks_in_node(
    scripts: Path, line: Proxy, tenant: Tenant, caller: httpx.AsyncClient, visit: str, photo: Path
) -> None:
    """Chunks below S3's part limit, as a client on a bad line chooses them."""
    async with _node(scripts, line, tenant, str(photo), json.dumps(_metadata(visit)), "700000") as heard:
        await _must_be_stored(heard)
    assert (await _the_only_medium(caller, visit))["file_size"] == SIZE


async def test_a_gateway_killed_in_the_middle_of_a_request(
    scripts: Path,
    services: Services,
    line: Proxy,
    tenant: Tenant,
    caller: httpx.AsyncClient,
    visit: str,
    photo: Path,
    server: Product,
    tmp_path: Path,
) -> None:
    """Kill -9 in mid-PATCH: another gateway goes on from what the first one had made durable."""
    metadata = _metadata(visit)
    with _gateway(services, tmp_path) as (url, running):
        line.point_to(url)
        # The announcement is one connection's first request; the bytes follow on the same one or the next.
        line.allowances = [8_000_000, 8_000_000]

        async def kill() -> None:
            running.kill()
            line.point_to(server.url)
            line.allowances.clear()

        line.before_breaking = kill
        async with _node(scripts, line, tenant, str(photo), json.dumps(metadata)) as heard:
            await _must_be_stored(heard)
        assert running.wait(10) == -9
    assert heard.all("retry")
    medium = await _the_only_medium(caller, visit)
    assert (medium["id"], medium["sha256"]) == (metadata["media_id"], _sha256(photo))


async def test_a_line_that_breaks_in_chromium(
    scripts: Path, line: Proxy, tenant: Tenant, caller: httpx.AsyncClient, visit: str
) -> None:
    """The browser's build of the client, with the session cookie."""
    require(CHROMIUM)
    heard = Heard("chromium")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=list(FLAGS))
        context = await chromium.new_context(bypass_csp=True)
        await context.add_cookies([{"name": LOOPBACK_COOKIE, "value": tenant.session, "url": line.url}])
        page = await context.new_page()
        await page.expose_function("tell", heard.tell)
        await page.goto(f"{line.url}/livez")
        await page.add_script_tag(path=scripts / "node_modules/tus-js-client/dist/tus.min.js")
        chance = random.Random(7)
        line.allowances = [chance.randrange(50_000, 4_500_000) for _ in range(6)]
        line.cut()
        line.mend()
        seed = base64.b64encode(files.jpeg()).decode()
        await page.evaluate(IN_BROWSER, [_metadata(visit), SIZE, seed])
        await _must_be_stored(heard)
        await chromium.close()
    assert heard.all("retry")
    expected = files.jpeg() + bytes(SIZE - len(files.jpeg()))
    assert (await _the_only_medium(caller, visit))["sha256"] == hashlib.sha256(expected).hexdigest()


@contextmanager
def _gateway(services: Services, logs: Path) -> Iterator[tuple[str, Any]]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with process("gateway", ["gateway", "serve"], services.environment(PORT=str(port)), logs) as running:
        wait_until_ready(url, running, logs / "gateway.log")
        yield url, running
