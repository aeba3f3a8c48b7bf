"""Health as the runbook promises it, and readiness as a load balancer needs it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette

from gateway.app import create_app
from gateway.ops.probe import CHECK_SECONDS
from store.ops import health as store_health
from tests.product import free_port
from tests.stack import Services
from tests.support.servers.proxy import proxy_to
from tests.tenants import Tenant

if TYPE_CHECKING:
    import asyncpg


# Less than a silent server would be waited for without a check's deadline: 10 s for the store, 35 s for a statement.
SILENT_SECONDS = 8.0


async def _answer(
    client: httpx.AsyncClient, path: str, status: int, *, within_s: float = 20, **wanted: object
) -> httpx.Response:
    """Ask until the answer has this status and these fields: on a busy machine any check may miss its 400 ms."""
    async with asyncio.timeout(within_s):
        while True:
            answer = await client.get(path)
            if answer.status_code == status and wanted.items() <= answer.json().items():
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
    """Degraded and 503 at a depth of 100 for the monitor, and not at 99; a load balancer still sends traffic."""
    await admin.execute("DELETE FROM ai_jobs WHERE status = 'queued'")
    await _queue_jobs(admin, tenant, 99)
    try:
        healthy = await _answer(client, "/health", 200)
        assert healthy.json()["queue"]["depth"] == 99
        await _queue_jobs(admin, tenant, 1)
        report = await _answer(client, "/health", 503, database=True, storage=True)
        assert report.json()["status"] == "degraded"
        assert report.json()["queue"]["healthy"] is False
        await _answer(client, "/readyz", 200)
    finally:
        await admin.execute("DELETE FROM ai_jobs WHERE tenant_id = $1", tenant.id)


async def _queue_jobs(
    admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant, count: int, *, later: timedelta = timedelta()
) -> None:
    await admin.execute(
        "WITH visits AS (INSERT INTO site_visits (tenant_id) SELECT $1 FROM generate_series(1, $2) RETURNING id) "
        "INSERT INTO ai_jobs (tenant_id, visit_id, job_type, run_at) "
        "SELECT $1, id, 'estimate', now() + $3 FROM visits",
        tenant.id,
        count,
        later,
    )


async def test_what_is_for_later_is_no_backlog(
    client: httpx.AsyncClient, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """A hundred estimates for next month are not due; one that has been due for ten minutes stands still."""
    await admin.execute("DELETE FROM ai_jobs WHERE status = 'queued'")
    await _queue_jobs(admin, tenant, 100, later=timedelta(days=30))
    try:
        report = await _answer(client, "/health", 200)
        assert report.json()["queue"] == {"depth": 0, "healthy": True, "paused": []}
        await _queue_jobs(admin, tenant, 1, later=timedelta(minutes=-10))
        report = await _answer(client, "/health", 503)
        assert (report.json()["queue"]["depth"], report.json()["queue"]["healthy"]) == (1, False)
    finally:
        await admin.execute("DELETE FROM ai_jobs WHERE tenant_id = $1", tenant.id)


async def test_a_store_that_is_away_degrades_it(services: Services) -> None:
    """The report names the part that fails, with 503, and no text of the exception."""
    settings = services.settings(s3_endpoint_url=f"http://127.0.0.1:{free_port()}")
    async with _callable(create_app(settings)) as caller:
        answer = await _answer(caller, "/health", 503, database=True)
    assert (answer.json()["status"], answer.json()["storage"]) == ("degraded", False)
    assert "127.0.0.1" not in answer.text


def test_a_check_leaves_time_for_the_answer() -> None:
    """The checks run side by side, and what is late is not waited for: a fifth of the 500 ms is left for the rest."""
    assert CHECK_SECONDS <= 0.4


async def test_a_database_that_hangs_is_unhealthy(services: Services) -> None:
    """A server that keeps its connections and answers nothing: both reports say so, long before it would."""
    direct = str(services.settings().database_url)
    async with proxy_to(direct) as proxy:
        settings = services.settings(database_url=proxy.url, database_listen_url=direct)
        async with _callable(create_app(settings)) as caller:
            await _answer(caller, "/readyz", 200)
            proxy.black_hole()
            silent = {"depth": 0, "healthy": False, "paused": []}
            report = await _answer(caller, "/health", 503, within_s=SILENT_SECONDS, storage=True, queue=silent)
            assert (report.json()["status"], report.json()["database"]) == ("unhealthy", False)
            unready = await _answer(caller, "/readyz", 503, within_s=SILENT_SECONDS)
            assert unready.json() == {"status": "not ready", "accepting": True, "database": False}
            proxy.mend()
            await _answer(caller, "/readyz", 200)


async def test_a_store_that_hangs_degrades_it(services: Services, admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Nothing comes back from S3: the report names it, and whoever sends no files is still served."""
    await admin.execute("DELETE FROM ai_jobs WHERE status = 'queued'")
    async with (
        proxy_to(services.endpoints.s3_endpoint) as proxy,
        _callable(create_app(services.settings(s3_endpoint_url=proxy.url))) as caller,
    ):
        await _answer(caller, "/health", 200)
        proxy.black_hole()
        report = await _answer(caller, "/health", 503, within_s=SILENT_SECONDS, database=True)
        assert (report.json()["status"], report.json()["storage"]) == ("degraded", False)
        await _answer(caller, "/readyz", 200)
        proxy.mend()


async def test_a_bell_that_hangs_is_not_asked(services: Services, admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Redis only makes the queue quicker: without it the report is as healthy as ever."""
    await admin.execute("DELETE FROM ai_jobs WHERE status = 'queued'")
    async with (
        proxy_to(services.redis_url) as proxy,
        _callable(create_app(services.settings(redis_url=proxy.url))) as caller,
    ):
        proxy.black_hole()
        await _answer(caller, "/health", 200)
        await _answer(caller, "/readyz", 200)
        proxy.mend()


async def test_who_drains_is_alive_and_not_ready(app: Starlette, client: httpx.AsyncClient) -> None:
    """The load balancer sends the next request elsewhere while this process lets its streams go."""
    app.state.context.hub.admission.draining = True
    report = await client.get("/readyz")
    assert (report.status_code, report.json()["accepting"]) == (503, False)
    assert (await client.get("/livez")).status_code == 200


async def test_a_check_that_breaks_gives_no_text_away(
    services: Services, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """A database without our schema: unhealthy and 503, and not a word of the exception."""
    empty = f"{services.admin_url}_empty"
    name = empty.rsplit("/", 1)[1]
    await admin.execute(f"DROP DATABASE IF EXISTS {name}")
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        async with _callable(create_app(services.settings(database_url=empty))) as caller:
            answer = await caller.get("/health")
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
    assert "queue_health" not in answer.text
    assert set(answer.json()) == {"status", "database", "storage", "queue", "last_job_success", "problems"}
    assert answer.json()["problems"][0] == "The database does not answer in time."


async def test_the_last_success_is_told(
    client: httpx.AsyncClient, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """The latest completed job's end; a later failure is none, and without any job it is null."""
    await admin.execute("DELETE FROM ai_jobs")
    assert (await _answer(client, "/health", 200)).json()["last_job_success"] is None
    ends = "now() - interval '1 day'", "now() - interval '2 days'"
    for end in ends:
        await admin.execute(
            "WITH visit AS (INSERT INTO site_visits (tenant_id) VALUES ($1) RETURNING id) "
            "INSERT INTO ai_jobs (tenant_id, visit_id, job_type, status, result, started_at, finished_at) "
            f"SELECT $1, id, 'estimate', 'completed', '{{}}', {end}, {end} FROM visit",
            tenant.id,
        )
    newest = await admin.fetchval("SELECT max(finished_at) FROM ai_jobs")
    try:
        told = (await _answer(client, "/health", 200)).json()["last_job_success"]
        assert datetime.fromisoformat(told) == newest
    finally:
        await admin.execute("DELETE FROM ai_jobs WHERE tenant_id = $1", tenant.id)


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


async def test_all_who_ask_at_once_share_one_answer(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred monitors cost one question; whoever comes after its answer asks anew."""
    asked = 0

    async def counted(conn: "asyncpg.Connection[asyncpg.Record]") -> None:
        nonlocal asked
        asked += 1
        await conn.fetchval("SELECT pg_sleep(0.05)")

    monkeypatch.setattr(store_health, "ping", counted)
    answers = await asyncio.gather(*(client.get("/readyz") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert asked == 1
    await client.get("/readyz")
    assert asked == 2


async def test_one_who_leaves_takes_the_answer_from_nobody(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that asked first hangs up; the other still gets its answer."""
    asked = asyncio.Event()

    async def slow(conn: "asyncpg.Connection[asyncpg.Record]") -> None:
        asked.set()
        await conn.fetchval("SELECT pg_sleep(0.05)")

    monkeypatch.setattr(store_health, "ping", slow)
    first, second = (asyncio.create_task(client.get("/readyz")) for _ in range(2))
    await asked.wait()
    first.cancel()
    assert (await second).status_code == 200


async def test_it_is_ready_while_every_connection_is_taken(app: Starlette, client: httpx.AsyncClient) -> None:
    """Both reports come as ever, by connections of their own."""
    context = app.state.context
    async with AsyncExitStack() as held:
        for _ in range(context.settings.database_pool_size):
            await held.enter_async_context(context.db.connection())
        await _answer(client, "/readyz", 200)
        assert (await client.get("/health")).json()["database"] is True


async def test_a_database_that_takes_no_change_is_named(
    client: httpx.AsyncClient, app: Starlette, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """A POST is 503 and says so, health names it, reads go on; when it is over, all is as before."""
    await admin.execute("DELETE FROM ai_jobs WHERE status = 'queued'")
    database = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER ROLE scopekit_gateway IN DATABASE {database} SET default_transaction_read_only = on")
    try:
        await _end_sessions(admin)
        await _sign_of_life(app, refused=True)
        report = await _answer(client, "/health", 503, problems=["The database is read-only."])
        assert (report.json()["status"], report.json()["database"]) == ("degraded", True)
        refused = await _begin_visit(client, tenant)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        assert refused.json()["detail"] == "The database is read-only. Nothing was changed. Try again later."
        assert (await client.get("/v1/visits", headers=tenant.headers)).status_code == 200
    finally:
        await admin.execute(f"ALTER ROLE scopekit_gateway IN DATABASE {database} RESET default_transaction_read_only")
        await _end_sessions(admin)
    await _sign_of_life(app, refused=False)
    await _answer(client, "/health", 200)
    assert (await _begin_visit(client, tenant)).status_code == 201


async def _begin_visit(client: httpx.AsyncClient, tenant: Tenant) -> httpx.Response:
    """Begin a visit; again where one of the pool's connections turned out to be ended."""
    async with asyncio.timeout(20):
        while True:
            answer = await client.post("/v1/visits", json={"title": "Roof"}, headers=tenant.headers)
            if answer.headers.get("retry-after") != "2":
                return answer


async def _sign_of_life(app: Starlette, *, refused: bool) -> None:
    """Have the process write its sign of life until the database has refused, or taken, it."""
    presence = app.state.context.presence
    async with asyncio.timeout(20):
        await presence.report()
        while (presence.refusal is not None) != refused:
            await presence.report()


async def _end_sessions(admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE usename = 'scopekit_gateway' AND datname = current_database()"
    )
