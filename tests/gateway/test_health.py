"""Health as the runbook promises it, and readiness as a load balancer needs it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette

from gateway.app import create_app
from gateway.health import CHECK_SECONDS
from tests.product import free_port
from tests.proxy import proxy_to
from tests.stack import Services
from tests.tenants import Tenant

if TYPE_CHECKING:
    import asyncpg


async def _answer(client: httpx.AsyncClient, path: str, status: int) -> httpx.Response:
    """Ask until the answer has this status: on a busy machine a check may miss its 400 ms."""
    async with asyncio.timeout(20):
        while (answer := await client.get(path)).status_code != status:
            pass
    return answer


@pytest.mark.parametrize("path", ["/health", "/functions/v1/health"])
async def test_all_is_well(client: httpx.AsyncClient, admin: "asyncpg.Connection[asyncpg.Record]", path: str) -> None:
    """200 and exactly the runbook's fields, under both addresses."""
    await admin.execute("DELETE FROM ai_jobs WHERE status = 'queued'")
    answer = await _answer(client, path, 200)
    assert answer.headers["content-type"] == "application/json"
    report = answer.json()
    assert set(report) == {"status", "database", "storage", "queue", "last_job_success"}
    assert (report["status"], report["database"], report["storage"]) == ("healthy", True, True)
    assert set(report["queue"]) == {"depth", "healthy", "paused"}


async def test_a_hundred_queued_jobs_degrade_it_but_stay_ready(
    client: httpx.AsyncClient, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """Degraded and 503 at a depth of 100 for the monitor; a load balancer still sends traffic."""
    await _queue_hundred(admin, tenant)
    try:
        report = await _answer(client, "/health", 503)
        assert report.json()["status"] == "degraded"
        assert report.json()["queue"]["healthy"] is False
        await _answer(client, "/readyz", 200)
    finally:
        await admin.execute("DELETE FROM ai_jobs WHERE tenant_id = $1", tenant.id)


async def _queue_hundred(admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant) -> None:
    await admin.execute(
        "WITH visits AS (INSERT INTO site_visits (tenant_id) SELECT $1 FROM generate_series(1, 100) RETURNING id) "
        "INSERT INTO ai_jobs (tenant_id, visit_id, job_type, run_at) "
        "SELECT $1, id, 'estimate', now() + interval '1 day' FROM visits",
        tenant.id,
    )


async def test_a_store_that_is_away_degrades_it(services: Services) -> None:
    """The report names the part that fails, with 503, and no text of the exception."""
    settings = services.settings(s3_endpoint_url=f"http://127.0.0.1:{free_port()}")
    answer = await _ask(create_app(settings), "/health")
    assert answer.status_code == 503
    assert answer.json()["status"] == "degraded"
    assert answer.json()["storage"] is False
    assert "127.0.0.1" not in answer.text


async def test_a_database_that_hangs_is_told_in_time(services: Services) -> None:
    """A server that keeps its connections and answers nothing: 503 within half a second, from both reports."""
    direct = str(services.settings().database_url)
    async with proxy_to(direct) as proxy:
        settings = services.settings(database_url=proxy.url, database_listen_url=direct)
        async with _callable(create_app(settings)) as caller:
            assert (await caller.get("/readyz")).status_code == 200
            proxy.black_hole()
            for path, status in (("/health", "unhealthy"), ("/readyz", "not ready")):
                began = time.monotonic()
                answer = await caller.get(path)
                assert time.monotonic() - began < CHECK_SECONDS + 1  # room for a busy machine
                assert (answer.status_code, answer.json()["status"]) == (503, status)
            proxy.mend()


async def _ask(app: Starlette, path: str) -> httpx.Response:
    async with _callable(app) as caller:
        return await caller.get(path)


@asynccontextmanager
async def _callable(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: object, receive: object, send: object) -> None:
            scope["state"] = state  # type: ignore[index]
            await app(scope, receive, send)  # type: ignore[arg-type]

        transport = httpx.ASGITransport(app=with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as caller:
            yield caller


async def test_it_lives(client: httpx.AsyncClient) -> None:
    """Liveness asks nobody."""
    answer = await client.get("/livez")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
