"""Opens the gateway's resources, in order, and closes them in reverse."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypedDict

from starlette.applications import Starlette
from starlette.templating import Jinja2Templates

from config.cancellation import cancel_all
from config.metrics_registry import MetricsRegistry
from config.secrets_in_use import keys_in_use
from config.settings import Settings
from config.tracing import flush_traces
from gateway.accounts import setup
from gateway.accounts.sign_in import oidc, supabase
from gateway.auth.auth import Authenticator
from gateway.auth.token_user import TokenUsers
from gateway.context import Context
from gateway.estimates import price_items
from gateway.http.limits.cost_limits import CostLimits
from gateway.http.limits.keyed_locks import KeyedLocks
from gateway.ops.probe import Probe
from gateway.progress.stall_watcher import StallWatcher
from gateway.progress.stream_metrics import StreamMetrics
from gateway.shares.link_secrets import passcode_hashing
from gateway.uploads.upload_limits import upload_starts
from jobs.queue.queue import JobQueue
from realtime.hub import Hub
from store.accounts.membership_cache import MembershipCache
from store.accounts.session_cache import ApiKeyCache, SessionCache
from store.documents.typesetter import Typesetter
from store.limits.shared_limits import SharedLimits
from store.media.decoder.media_client import Decoder
from store.objects.objects import ObjectStore
from store.ops.presence import Presence
from store.pool import Database
from store.sandbox.survey import warn_of_missing_walls
from store.tenants.flag_cache import FlagCache

HERE = Path(__file__).parent


class State(TypedDict):
    """The state that the lifespan hands to every request."""

    context: Context


def lifespan_of(
    settings: Settings, metrics: MetricsRegistry
) -> Callable[[Starlette], AbstractAsyncContextManager[State]]:
    """Make the lifespan that opens these settings' resources; a resource that is away at the start fails it."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[State]:
        async with AsyncExitStack() as opened:
            opened.push_async_callback(asyncio.to_thread, flush_traces)
            yield {"context": await open_context(settings, metrics, opened)}

    return lifespan


async def open_context(settings: Settings, metrics: MetricsRegistry, opened: AsyncExitStack) -> Context:
    """Open every resource into `opened`, which closes them."""
    db = await Database.open(
        str(settings.database_url),
        name=settings.function_name,
        size=settings.database_pool_size,
        pooled=settings.database_pooled,
    )
    opened.push_async_callback(db.close)
    objects = await opened.enter_async_context(ObjectStore.open(settings))
    probe = await opened.enter_async_context(Probe.open(settings, objects))
    decoder = opened.enter_context(Decoder())
    queue = await opened.enter_async_context(JobQueue.open(settings))
    hub = await opened.enter_async_context(Hub.open(settings, db))
    flags, memberships, sessions = _notified_caches(db, hub)
    await setup.offer(settings, db)
    presence = await _open_observers(settings, db, hub, metrics, opened)
    return Context(
        settings=settings,
        db=db,
        objects=objects,
        decoder=decoder,
        typesetter=Typesetter(),
        queue=queue,
        hub=hub,
        flags=flags,
        memberships=memberships,
        sessions=sessions,
        api_keys=ApiKeyCache(db, lambda: hub.listener_generation),
        metrics=metrics,
        auth=Authenticator(settings),
        limits=SharedLimits(db),
        costs=CostLimits(),
        passcodes=passcode_hashing(),
        upload_starts=upload_starts(),
        tenant_locks=KeyedLocks(),
        probe=probe,
        presence=presence,
        searches=price_items.searches(),
        transfers=price_items.transfers(),
        oidc_providers=oidc.providers_of(settings),
        supabase=supabase.auth_of(settings),
        token_users=TokenUsers(),
        templates=Jinja2Templates(HERE / "templates"),
    )


def _notified_caches(db: Database, hub: Hub) -> tuple[FlagCache, MembershipCache, SessionCache]:
    """Make the caches whose entries the hub's notifications remove."""
    flags = FlagCache(db, lambda: hub.listener_generation)
    memberships = MembershipCache(db, lambda: hub.listener_generation)
    sessions = SessionCache(db, lambda: hub.listener_generation)
    hub.on_flags, hub.on_membership, hub.on_session = flags.forget, memberships.forget_member, sessions.forget
    return flags, memberships, sessions


async def _open_observers(
    settings: Settings, db: Database, hub: Hub, metrics: MetricsRegistry, opened: AsyncExitStack
) -> Presence:
    """Begin what others learn by this process: its presence and metrics, a weak sandbox, jobs that stand still."""
    presence = Presence(db, "gateway", lambda: {"streams": hub.stats()["streams"]}, keys_in_use(settings))
    opened.push_async_callback(cancel_all, asyncio.create_task(presence.keep_forever(), name="presence"))
    stalls = StallWatcher(db, lambda: list(hub.channels))
    opened.push_async_callback(cancel_all, asyncio.create_task(stalls.watch_forever(), name="stalls"))
    opened.push_async_callback(cancel_all, asyncio.create_task(warn_of_missing_walls(), name="sandbox"))
    opened.enter_context(metrics.registered(StreamMetrics(hub)))
    await opened.enter_async_context(metrics.shared())
    return presence
