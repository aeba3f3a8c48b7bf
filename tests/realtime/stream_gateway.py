"""The streams' part of the gateway on a real uvicorn in the test's own loop, with a hub the test may tune."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from config.metrics_registry import MetricsRegistry
from config.settings import Settings
from gateway.app import middleware
from gateway.auth.auth import Authenticator
from gateway.context import Context
from gateway.http.errors import HANDLERS
from gateway.http.http_metrics import HttpMetrics
from gateway.http.limits.cost_limits import CostLimits
from gateway.ops import metrics
from gateway.pages import pages
from gateway.progress import multi_stream, tenant_stream, visit_stream
from gateway.progress.stream_metrics import StreamMetrics
from gateway.server.connection_takeover import HandoverProtocol
from gateway.server.server import Server
from jobs.queue.queue import JobQueue
from realtime.hub import Hub
from store.accounts.membership_cache import MembershipCache
from store.accounts.session_cache import ApiKeyCache, SessionCache
from store.events import events
from store.limits.shared_limits import SharedLimits
from store.pool import Database
from store.tenants.flag_cache import FlagCache
from store.visits import visits
from tests.realtime.feed.watcher import eventually
from tests.stack import Services, make_services
from tests.support.event_contract import example_of
from tests.tenants import Tenant

DRAIN_SECONDS = 0.4
# For what holds however events come.
BOTH = pytest.mark.parametrize("bus", ["notify", "redis"])


@dataclass(frozen=True)
class StreamGateway:
    """A running gateway: its address, its hub and its server."""

    url: str
    hub: Hub
    server: Server


@asynccontextmanager
async def open_gateway(
    settings: Settings,
    *,
    writer: str = "connection",
    tls: tuple[Path, Path] | None = None,
    listener: socket.socket | None = None,
    **hub_options: Any,
) -> AsyncIterator[StreamGateway]:
    """Serve the routes of gateway/progress until the block is left, on a socket that is bound if it is given.

    With the writer `connection` streams are handed over, as in production; with `asgi` they run over plain `send()`.
    """
    async with (
        _database(settings) as db,
        JobQueue.open(settings) as queue,
        Hub.open(settings, db, **hub_options) as hub,
        _serve(
            _app(settings, _context(settings, db, queue, hub)),
            writer,
            tls,
            listener or socket.create_server(("127.0.0.1", 0)),
        ) as (url, server),
    ):
        yield StreamGateway(url, hub, server)
        await hub.stop()  # so that uvicorn has nothing to wait for


async def another_database(services: Services) -> str:
    """Make a database in which nothing happens, and return the gateway's address of it."""
    name = urlsplit(services.gateway_url).path.removeprefix("/scopekit_")
    return (await make_services(services.endpoints, f"silent_{name}")).gateway_url


async def make_visit(db: Database, tenant: Tenant) -> UUID:
    """Open a visit of the tenant."""
    async with db.as_user(tenant.claims) as conn:
        row = await visits.create(conn, tenant_id=tenant.id, user_id=tenant.user_id)
    visit_id: UUID = row["id"]
    return visit_id


async def tell(
    db: Database, tenant: Tenant, visit_id: UUID, *types: str, payload: Any = None, job_id: UUID | None = None
) -> int:
    """Insert events, each in a transaction of its own; returns the last seq.

    Without a payload each has the example of its type.
    """
    seq = 0
    for type_ in types:
        async with db.as_user(tenant.claims) as conn:
            given = example_of(type_) if payload is None else payload
            seq = await events.append(
                conn, tenant_id=tenant.id, visit_id=visit_id, type=type_, payload=given, job_id=job_id
            )
    return seq


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    db = await Database.open(str(settings.database_url), name="test-gateway", size=6)
    try:
        yield db
    finally:
        await db.close()


def _context(settings: Settings, db: Database, queue: JobQueue, hub: Hub) -> Context:
    nothing = cast("Any", None)
    sessions = SessionCache(db, lambda: hub.listener_generation)
    hub.on_session = sessions.forget
    return Context(
        settings=settings,
        db=db,
        objects=nothing,
        decoder=nothing,
        typesetter=nothing,
        queue=queue,
        hub=hub,
        flags=FlagCache(db, lambda: hub.listener_generation),
        memberships=MembershipCache(db, lambda: hub.listener_generation),
        sessions=sessions,
        api_keys=ApiKeyCache(db, lambda: hub.listener_generation),
        metrics=MetricsRegistry(settings),
        auth=Authenticator(settings),
        limits=SharedLimits(db),
        costs=CostLimits(),
        passcodes=nothing,
        upload_starts=nothing,
        tenant_locks=nothing,
        probe=nothing,
        presence=nothing,
        searches=nothing,
        transfers=nothing,
        oidc_providers={},
        supabase=None,
        token_users=nothing,
        templates=nothing,
    )


def _app(settings: Settings, context: Context) -> Starlette:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        with context.metrics.registered(StreamMetrics(context.hub)):
            yield {"context": context}

    return Starlette(
        routes=[
            *metrics.routes(),
            *visit_stream.routes,
            *multi_stream.routes,
            *tenant_stream.routes,
            Mount("/static", StaticFiles(directory=pages._STATIC)),
        ],
        middleware=middleware(settings, HttpMetrics(context.metrics.registry)),
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )


@asynccontextmanager
async def _serve(
    app: Starlette, writer: str, tls: tuple[Path, Path] | None, listener: socket.socket
) -> AsyncIterator[tuple[str, Server]]:
    # A stalled reader's socket is full after some KB, not after the megabytes loopback would take.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
    certificate, key = tls or (None, None)
    config = uvicorn.Config(
        app,
        http=HandoverProtocol if writer == "connection" else "httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    server = Server(config, drain_s=DRAIN_SECONDS)
    serving = asyncio.create_task(server._serve([listener]))
    try:
        await eventually(lambda: server.started)
        host, port = listener.getsockname()
        yield f"{'https' if tls else 'http'}://{host}:{port}", server
    finally:
        server.end()
        async with asyncio.timeout(10):
            await serving
