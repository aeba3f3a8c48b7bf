"""The page's stream: everything at first, then what changes, until the token ends."""

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import httpx
from httpx_sse import ServerSentEvent, aconnect_sse
from starlette.applications import Starlette
from starlette.requests import Request

from gateway.ops.dashboard import SECTIONS
from gateway.ops.page import live
from tests.gateway.ops.letters import bury
from tests.product import Product
from tests.support.contract import Witness
from tests.tenants import Tenant

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

WAIT_SECONDS = 30


def fields_of(message: str | ServerSentEvent) -> dict[str, str]:
    """Return the fields of a message that were sent."""
    if isinstance(message, str):
        return dict(line.split(": ", 1) for line in message.splitlines() if line)
    named = {"event": message.event} if message.event != "message" else {}
    return named | {"data": message.data} | ({"id": message.id} if message.id else {})


async def test_a_dead_job_shows_without_asking(
    server: Product, admin: Any, tenant: Tenant, operator: Tenant, witness: Witness
) -> None:
    """First every section is named; then the one that changed, which has the error's words, its markup harmless."""
    async with (
        asyncio.timeout(WAIT_SECONDS),
        httpx.AsyncClient(base_url=server.url, headers=operator.headers, timeout=WAIT_SECONDS) as client,
        aconnect_sse(client, "GET", "/ops/live") as events,
    ):
        told = events.aiter_sse()
        first = await anext(told)
        witness.judge_event("/ops/live", fields_of(first))
        assert json.loads(first.data) == list(SECTIONS)
        letter, _ = await bury(admin, tenant, code="test_live", error="<script>alert(1)</script>")
        async for event in told:
            witness.judge_event("/ops/live", fields_of(event))
            if "dead" in json.loads(event.data) and "test_live" in (html := (await client.get("/ops")).text):
                break
    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html
    await admin.execute("DELETE FROM ai_jobs_dlq WHERE id = $1", letter)


async def test_the_stream_outlives_a_database_that_goes_during_a_reading(
    app: Starlette, admin: Any, operator: Tenant, witness: Witness
) -> None:
    """It says `away`, and everything again once the database is back."""
    async with asyncio.timeout(WAIT_SECONDS):
        headers = [(name.encode(), value.encode()) for name, value in operator.headers.items()]
        request = Request({"type": "http", "app": app, "state": {"context": app.state.context}, "headers": headers})
        told = cast("AsyncGenerator[bytes, None]", (await live(request)).body_iterator)
        async with admin.transaction():
            await admin.execute("LOCK TABLE queue_samples IN ACCESS EXCLUSIVE MODE")
            first = asyncio.ensure_future(anext(told))
            while not await admin.fetchval(  # noqa: ASYNC110 - the server tells nobody who waits
                "SELECT bool_or(pg_terminate_backend(pid)) FROM pg_locks "
                "WHERE relation = 'queue_samples'::regclass AND NOT granted"
            ):
                await asyncio.sleep(0.01)
            away = fields_of((await first).decode())
            assert away["event"] == "away"
        back = fields_of((await anext(told)).decode())
    for message in (away, back):
        witness.judge_event("/ops/live", message)
    assert json.loads(back["data"]) == list(SECTIONS)


async def test_the_stream_ends_with_its_token(server: Product, operator: Tenant) -> None:
    """Nobody watches on after that. One that is over before a slow machine spoke is followed by a longer one."""
    said: list[str] = []
    for seconds in (4, 16, 64):
        async with asyncio.timeout(seconds + WAIT_SECONDS):
            said = await _said_during(server, operator.token(seconds=seconds))
        if said:
            break
    assert "message" in said


async def _said_during(server: Product, token: str) -> list[str]:
    """Return the types of all events until the stream ends; none where the token was over before it began."""
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=WAIT_SECONDS) as client,
        aconnect_sse(client, "GET", "/ops/live", headers={"authorization": f"Bearer {token}"}) as events,
    ):
        if events.response.status_code == httpx.codes.UNAUTHORIZED:
            return []
        return [event.event async for event in events.aiter_sse()]
