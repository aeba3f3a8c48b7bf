"""A whole run of the product: nothing it writes anywhere, logs or reports, opens a door."""

import asyncio
import gzip
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from store.objects.objects import ObjectStore
from tests.gateway.shares.documents import Customer, Visit, make_share, store_photos
from tests.product import Product, start_product
from tests.stack import Services
from tests.support.servers.web import serve_in_thread
from tests.tenants import Tenant

PASSCODE, WRONG_GUESS = "heron-lantern-4711", "osprey-kettle-0815"


class _Reports:
    """What a Sentry of our own was sent."""

    def __init__(self) -> None:
        self.received: list[str] = []

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.received.append(_plain(body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


def _logs(directory: Path) -> str:
    return "".join(log.read_text() for log in directory.glob("*.log"))


def _plain(body: bytes) -> str:
    try:
        return gzip.decompress(body).decode(errors="replace")
    except (OSError, zlib.error):
        return body.decode(errors="replace")


@asynccontextmanager
async def _broken(admin: Any, function: str) -> AsyncIterator[None]:
    """Take a function away for a while: the gateway meets an error nobody foresaw."""
    await admin.execute(f"ALTER FUNCTION scopekit.{function} RENAME TO gone")
    try:
        yield
    finally:
        arguments = function[function.index("(") :]
        await admin.execute(f"ALTER FUNCTION scopekit.gone{arguments} RENAME TO {function.partition('(')[0]}")


async def test_nothing_written_during_a_full_run_opens_a_door(
    services: Services, tenant: Tenant, visit: Visit, objects: ObjectStore, admin: Any, tmp_path: Path
) -> None:
    """Gateway and worker at debug level, with a Sentry: tokens, session secrets, passcodes and JWTs are in none."""
    await store_photos(objects, tenant, visit)
    reports = _Reports()
    with serve_in_thread(reports) as sentry:
        dsn = sentry.replace("http://", "http://public-key@") + "/1"
        with start_product(services, tmp_path, LOG_LEVEL="debug", SENTRY_DSN=dsn) as product:
            secrets = await _whole_story(product, tenant, visit, admin)
    written = _logs(tmp_path) + "".join(reports.received)
    assert "/e/{token}/decision" in written, "the log was read"
    assert re.search("UndefinedFunction", "".join(reports.received)), "the report arrived"
    assert [name for name, secret in secrets.items() if secret in written] == []


async def _whole_story(product: Product, tenant: Tenant, visit: Visit, admin: Any) -> dict[str, str]:
    """Live through everything a link can meet; returns the secrets of it by name."""
    jwt = tenant.token()
    headers = {"authorization": f"Bearer {jwt}"}
    async with httpx.AsyncClient(base_url=product.url, timeout=30) as contractor, asyncio.timeout(90):
        await contractor.post(f"/v1/visits/{visit.id}/estimate", json={}, headers=headers)
        share = await make_share(contractor, tenant, visit, passcode=PASSCODE)
        async with httpx.AsyncClient(base_url=product.url, timeout=30) as browser:
            customer = Customer(browser, share["url"])
            await _read_and_answer(customer, visit, admin)
            session = browser.cookies["scopekit_share"]
            rotated = await contractor.post(f"/v1/shares/{share['id']}/rotate", json={}, headers=headers)
            await customer.look()
        await _open_anew(product, rotated.json()["url"])
        await contractor.get(f"/v1/shares/{share['id']}/timeline", headers=headers)
        await contractor.post(f"/v1/shares/{share['id']}/revoke", json={}, headers=headers)
    return {"token": share["token"], "new token": rotated.json()["token"], "session": session, "passcode": PASSCODE,
            "wrong guess": WRONG_GUESS, "jwt": jwt}  # fmt: skip


async def _read_and_answer(customer: Customer, visit: Visit, admin: Any) -> None:
    await customer.look()
    await customer.open(passcode=WRONG_GUESS)
    assert (await customer.open(passcode=PASSCODE)).status_code == 303
    for path in ("", f"/media/{visit.cited}", "/logo", "/colours.css", "/estimate.pdf", "/news", "/nothing"):
        await customer.look(path)
    async with _broken(admin, "share_updates(bytea, bytea)"):
        assert (await customer.look("/news")).status_code == 500
    await customer.decide(visit, "maybe")
    await customer.decide(visit)
    await customer.look("/certificate.json")


async def _open_anew(product: Product, url: str) -> None:
    """Open the new link from another browser."""
    async with httpx.AsyncClient(base_url=product.url, timeout=30) as browser:
        assert (await Customer(browser, url).open(passcode=PASSCODE)).status_code == 303
