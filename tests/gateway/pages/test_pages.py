"""The shell at `/` and its files: what a strict browser and a hurried phone need of them."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app import create_app
from gateway.auth.sessions import LOOPBACK_COOKIE
from gateway.pages.shell import modules_of, shell
from tests.product import ROOT
from tests.stack import Services

STATIC = ROOT / "gateway" / "static"
TEMPLATES = ROOT / "gateway" / "templates"
PARSES_HTML = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|setHTML|srcdoc|\beval\b")
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", re.IGNORECASE)
ELSEWHERE = re.compile(r"""(?:src|href|url|import|from)\s*[=(]?\s*["'(]?\s*(?:https?:)?//""", re.IGNORECASE)

ours = pytest.mark.parametrize(
    "file", [*STATIC.rglob("*.js"), *STATIC.rglob("*.css"), *TEMPLATES.rglob("*.html")], ids=lambda file: file.name
)


@asynccontextmanager
async def gateway_at(
    services: Services, base_url: str, environment: str, peer: str = "127.0.0.1", **more: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Call a gateway of this environment under this address, from this peer."""
    app = create_app(services.settings(environment=environment, **more))
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            scope["state"] = dict(state or {})
            await app(scope, receive, send)

        transport = httpx.ASGITransport(app=with_state, client=(peer, 40_000))
        async with httpx.AsyncClient(transport=transport, base_url=base_url) as caller:
            yield caller


async def test_the_page_names_every_module_it_will_load(client: httpx.AsyncClient) -> None:
    """A phone fetches all modules at once instead of finding them one behind the other."""
    page = (await client.get("/")).text
    named = set(re.findall(r'rel="modulepreload" href="/static/([^"]+)"', page))
    assert named == set(modules_of("console/console.js"))
    assert {"console/console.js", "progress.js", "uploads/uploads.js"} <= named
    for module in named:
        answer = await client.get(f"/static/{module}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/javascript")


async def test_files_are_kept_but_asked_about(client: httpx.AsyncClient) -> None:
    """A browser keeps a file and hears 304 while it is the same, so that a deploy shows at the next load."""
    first = await client.get("/static/console/console.js")
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/static/console/console.js", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    missing = await client.get("/static/../app.py")
    assert missing.status_code == 404


async def test_files_are_compressed_and_always_whole(client: httpx.AsyncClient) -> None:
    """A phone on a slow line loads a third; a part of a compressed file would be no file."""
    plain = await client.get("/static/shared/scopekit.css", headers={"accept-encoding": "identity"})
    packed = await client.get("/static/shared/scopekit.css", headers={"accept-encoding": "gzip", "range": "bytes=0-99"})
    assert (packed.status_code, packed.headers["content-encoding"]) == (200, "gzip")
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) / 2


async def test_the_worker_that_keeps_the_page_knows_its_version_and_its_files(client: httpx.AsyncClient) -> None:
    """It is asked about at each load, stands where it may keep the page, and names what the page loads."""
    page, worker = await client.get("/"), await client.get("/service-worker.js")
    assert (worker.headers["content-type"], worker.headers["cache-control"]) == (
        "text/javascript; charset=utf-8",
        "no-cache",
    )
    assert page.headers["etag"] == f'"{shell().version}"'
    assert shell().version in worker.text
    loaded = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text))
    assert loaded == set(shell().files)
    assert all(file in worker.text for file in loaded)


async def test_the_page_has_nothing_inline(client: httpx.AsyncClient) -> None:
    """The content security policy allows no inline script or style, and the page has none."""
    page = await client.get("/")
    assert INLINE.search(page.text) is None
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


@ours
def test_nothing_is_ever_read_as_markup(file: Path) -> None:
    """No file of ours turns text into HTML or code."""
    assert PARSES_HTML.search(file.read_text(encoding="utf-8")) is None


@ours
def test_nothing_comes_from_anywhere_else(file: Path) -> None:
    """No file of ours names another host to load from."""
    assert ELSEWHERE.search(file.read_text(encoding="utf-8")) is None


async def test_a_developers_own_machine_is_signed_in_on_the_way(services: Services) -> None:
    """On the local stack the page signs the browser in, once."""
    async with gateway_at(services, "http://127.0.0.1:8000", "local") as caller:
        first = await caller.get("/")
        assert LOOPBACK_COOKIE in first.cookies
        assert "httponly" in first.headers["set-cookie"].lower()
        assert "set-cookie" not in (await caller.get("/")).headers


@pytest.mark.parametrize(
    ("base_url", "environment", "peer"),
    [
        ("http://127.0.0.1:8000", "production", "127.0.0.1"),
        ("http://rebound.example:8000", "local", "127.0.0.1"),
        ("http://127.0.0.1:8000", "local", "192.0.2.7"),
    ],
)
async def test_nobody_else_is_signed_in(services: Services, base_url: str, environment: str, peer: str) -> None:
    """Neither in production, nor under a foreign name for this machine, nor from another machine."""
    async with gateway_at(services, base_url, environment, peer) as caller:
        assert "set-cookie" not in (await caller.get("/")).headers
        assert (await caller.post("/demo/login")).status_code == 404
        assert (await caller.get("/metrics")).status_code == 401


async def test_caught_mails_are_shown_at_home_alone(services: Services, tmp_path: Path) -> None:
    """Newest first and escaped; nobody else finds the page."""
    (tmp_path / "1.eml").write_text("To: a@example.com\nSubject: Old\n\nfirst\n")
    (tmp_path / "2.eml").write_text("To: b@example.com\nSubject: <b>New</b>\n\nhttp://127.0.0.1/join/x\n")
    async with gateway_at(services, "http://127.0.0.1:8000", "local", mail_dir=tmp_path) as caller:
        page = (await caller.get("/dev/mail")).text
        assert page.index("&lt;b&gt;New") < page.index("Old")
        assert '<a href="http://127.0.0.1/join/x">' in page
        assert (await caller.get("/dev/mail", headers={"host": "rebound.example"})).status_code == 404
    async with gateway_at(services, "http://127.0.0.1:8000", "production", mail_dir=tmp_path) as caller:
        assert (await caller.get("/dev/mail")).status_code == 404
