"""What goes wrong between the table and the hub, and that no client notices."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from config.settings import Settings
from realtime.bus import leader
from realtime.feed import feed, listener, notify
from realtime.feed.catchup import CatchUp
from realtime.hub import Hub
from store.events import events
from store.pool import Database
from tests.realtime.feed.watcher import Watcher, eventually, is_open, path, watch
from tests.realtime.stream_gateway import BOTH, StreamGateway, another_database, open_gateway, tell
from tests.stack import Services
from tests.support.servers.proxy import Proxy, proxy_to
from tests.tenants import Tenant

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def terminate_listener(admin: Connection) -> int:
    """End the backend of every listener and bus leader in this database; returns how many."""
    killed: int = await admin.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE application_name = ANY($1) AND datname = current_database()",
        [listener.NAME, leader.NAME],
    )
    return killed


@BOTH
async def test_a_terminated_listener_loses_nothing(
    gateway: StreamGateway, db: Database, admin: Connection, tenant: Tenant, visit: UUID
) -> None:
    """The listener's or bus leader's backend is ended five times among fifty inserts: each comes once, in order."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        for round_ in range(1, 6):
            assert await terminate_listener(admin) == 1
            await tell(db, tenant, visit, *["a.b"] * 10)
            await watcher.until_seq(round_ * 10)
            await eventually(lambda: gateway.hub.stats()["reconnects"] == round_)  # noqa: B023 - awaited in its round
            await listening(gateway)
    assert watcher.seqs == list(range(1, 51))
    assert len(watcher.named("hello")) == 1


@pytest.mark.parametrize("error", [asyncpg.InternalClientError("out of step"), RuntimeError("nobody foresaw this")])
async def test_no_error_ends_the_listener_for_good(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever its probe runs into, asyncpg's own confusion too, another connection takes over and nothing is lost."""
    execute = asyncpg.Connection.execute
    failed = asyncio.Event()

    async def fail_once(connection: Connection, query: str, *arguments: object, **options: float) -> str:
        if query == "SELECT 1" and not failed.is_set():
            failed.set()
            raise error
        return await execute(connection, query, *arguments, **options)

    monkeypatch.setattr(asyncpg.Connection, "execute", fail_once)
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        async with asyncio.timeout(10):
            await failed.wait()
        await eventually(lambda: gateway.hub.stats()["reconnects"] == 1)
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(1)
    assert watcher.seqs == [1]


@BOTH
async def test_while_the_listener_is_away_the_table_is_polled(
    settings: Settings, services: Services, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """With LISTEN cut off, events still come within two looks at the table; after the reconnect, at once."""
    async with watched_by_proxy(settings, services, tenant, visit) as (proxy, gateway, watcher):
        proxy.cut()
        await tell(db, tenant, visit, "a.b", "a.b")
        async with asyncio.timeout(15):
            await watcher.until_seq(2)
        assert gateway.hub.stats()["live"] is False
        await tell(db, tenant, visit, "a.b")
        proxy.mend()
        await listening(gateway)
        async with asyncio.timeout(15):
            await watcher.until_seq(3)
    assert watcher.seqs == [1, 2, 3]


@BOTH
async def test_a_look_that_fails_is_not_the_last_one(
    settings: Settings, services: Services, db: Database, tenant: Tenant, visit: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error nobody foresaw, at a look at the table, costs that look alone: the next one brings the events."""
    look_at_all, failed = CatchUp.all, asyncio.Event()

    async def fail_once(self: CatchUp) -> None:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("nobody foresaw this")
        await look_at_all(self)

    async with watched_by_proxy(settings, services, tenant, visit) as (proxy, _gateway, watcher):
        monkeypatch.setattr(CatchUp, "all", fail_once)
        proxy.cut()
        await tell(db, tenant, visit, "a.b")
        async with asyncio.timeout(10):
            await failed.wait()
        await watcher.until_seq(1)
    assert watcher.seqs == [1]


async def test_a_listener_lost_while_notify_is_tried_is_made_good_at_once(
    settings: Settings,
    services: Services,
    db: Database,
    admin: Connection,
    tenant: Tenant,
    visit: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The word of the try went with its connection: nobody waits for it before looking at the table."""
    tried = asyncio.Event()

    async def lose(*_: object) -> None:
        tried.set()

    async with watched_by_proxy(settings, services, tenant, visit) as (proxy, _gateway, watcher):
        monkeypatch.setattr(notify, "TEST_SECONDS", 600)
        monkeypatch.setattr(events, "notify", lose)
        await terminate_listener(admin)
        await eventually(tried.is_set)
        proxy.cut()
        await tell(db, tenant, visit, "a.b")
        proxy.mend()
        await watcher.until_seq(1)


@BOTH
async def test_a_dead_but_open_listener_is_noticed(
    settings: Settings, services: Services, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """A connection that carries nothing any more is found by its probe within 2.5 s, and what it missed is read."""
    async with watched_by_proxy(settings, services, tenant, visit) as (proxy, _gateway, watcher):
        proxy.black_hole()
        await tell(db, tenant, visit, "a.b")
        async with asyncio.timeout(4):  # the suite's machine may be busy
            await watcher.until_seq(1)
    assert watcher.seqs == [1]


@BOTH
async def test_a_member_removed_while_the_listener_is_away_loses_his_streams(
    settings: Settings, services: Services, admin: Connection, tenant: Tenant, visit: UUID
) -> None:
    """No word of it can come: the members are looked at together with the table."""
    async with watched_by_proxy(settings, services, tenant, visit) as (proxy, gateway, watcher):
        proxy.cut()
        await eventually(lambda: not gateway.hub.stats()["live"])
        await admin.execute("DELETE FROM memberships WHERE user_id = $1", tenant.user_id)
        await watcher.until_closed()
    assert watcher.named("end")[0].json == {"reason": "revoked"}


@asynccontextmanager
async def watched_by_proxy(
    settings: Settings, services: Services, tenant: Tenant, visit: UUID
) -> AsyncIterator[tuple[Proxy, StreamGateway, Watcher]]:
    """Open a stream in a gateway to which word comes by a way that can be cut."""
    by_bus = settings.event_bus == "redis"
    async with (
        proxy_to(services.redis_url if by_bus else services.gateway_url) as proxy,
        open_gateway(
            settings.model_copy(update={"bus_url" if by_bus else "database_listen_url": proxy.url})
        ) as gateway,
        watch(gateway.url, path(visit), headers=tenant.headers) as watcher,
    ):
        await watcher.until(is_open)
        yield proxy, gateway, watcher


async def listening(gateway: StreamGateway) -> None:
    """Wait until the gateway hears again."""
    await eventually(lambda: gateway.hub.stats()["live"])


@BOTH
async def test_a_lost_notification_is_made_good_by_the_next(
    gateway: StreamGateway, db: Database, admin: Connection, tenant: Tenant, visit: UUID
) -> None:
    """An event of which no word came (its trigger was off) is found by the hole it leaves."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        async with admin.transaction():
            await admin.execute("SET LOCAL session_replication_role = replica")
            await admin.execute(
                "INSERT INTO processing_events (visit_id, tenant_id, seq, type, ends_stream, background) "
                "VALUES ($1, $2, 1, 'a.b', false, false)",
                visit,
                tenant.id,
            )
            await admin.execute(
                "INSERT INTO visit_streams (visit_id, tenant_id, last_seq) VALUES ($1, $2, 1)", visit, tenant.id
            )
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(2)
    assert watcher.seqs == [1, 2]
    assert gateway.hub.stats()["gaps_filled"] == 1


async def test_words_that_are_no_events_are_ignored(
    gateway: StreamGateway, db: Database, admin: Connection, tenant: Tenant, visit: UUID
) -> None:
    """Anybody may NOTIFY: garbage, a number that does not exist and an old event change nothing."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        await tell(db, tenant, visit, "a.b")
        for text in ("", "{", f'{{"visit_id":"{visit}","seq":"x"}}', f'{{"visit_id":"{visit}","seq":900}}'):
            await admin.execute("SELECT pg_notify('processing_events', $1)", text)
        for text in ("", "[]", '{"kind":"what"}', '{"kind":"test","nonce":"guess"}'):
            await admin.execute("SELECT pg_notify('scopekit_control', $1)", text)
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(2)
    assert watcher.seqs == [1, 2]


async def test_without_notify_the_table_is_polled(
    settings: Settings, services: Services, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """A listener that hears nothing (here: of another database) is found out at once, and the table is looked at."""
    deaf = await another_database(services)
    async with (
        open_gateway(settings.model_copy(update={"database_listen_url": deaf})) as gateway,
        watch(gateway.url, path(visit), headers=tenant.headers) as watcher,
    ):
        assert gateway.hub.stats()["live"] is False
        await watcher.until(is_open)
        await tell(db, tenant, visit, "a.b", "a.b")
        async with asyncio.timeout(15):
            await watcher.until_seq(2)
        await tell(db, tenant, visit, "job.completed")
        async with asyncio.timeout(15):
            await watcher.until_closed()
    assert watcher.seqs == [1, 2, 3]
    assert feed.POLL_SECONDS <= 1


async def test_the_first_connect_fails_fast(settings: Settings, services: Services, db: Database) -> None:
    """A listen URL that leads nowhere stops the start instead of trying for ever."""
    nowhere = services.gateway_url.rsplit("/", 1)[0] + "/no_such_database"
    hub = Hub(services.settings(database_listen_url=nowhere), db)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        async with asyncio.timeout(5):
            await hub.start()


@BOTH
async def test_a_table_that_went_back_starts_its_streams_afresh(
    gateway: StreamGateway, db: Database, admin: Connection, tenant: Tenant, visit: UUID
) -> None:
    """After a restored backup the client is sent away, and its next connect begins with a snapshot."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        await tell(db, tenant, visit, "a.b", "a.b", "a.b")
        await watcher.until_seq(3)
        await admin.execute("DELETE FROM processing_events WHERE visit_id = $1 AND seq > 1", visit)
        await admin.execute("UPDATE visit_streams SET last_seq = 1 WHERE visit_id = $1", visit)
        await terminate_listener(admin)
        await watcher.until_closed()
    async with watch(gateway.url, path(visit), headers=tenant.headers, last_id=3) as again:
        await again.until(is_open)
        await tell(db, tenant, visit, "a.b")
        await again.until_seq(2)
    assert again.named("hello")[0].json == {"last_seq": 1, "recovered": False}
    assert again.seqs == [2]


async def test_a_pruned_history_is_replayed_from_what_is_left(
    gateway: StreamGateway, db: Database, admin: Connection, tenant: Tenant, visit: UUID
) -> None:
    """Events that were deleted are passed over, and the stream goes on live."""
    await tell(db, tenant, visit, *["a.b"] * 6)
    await admin.execute("DELETE FROM processing_events WHERE visit_id = $1 AND seq IN (1, 2, 3, 5, 6)", visit)
    async with watch(gateway.url, path(visit), headers=tenant.headers, last_id=0) as watcher:
        await watcher.until_seq(4)
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(7)
    assert watcher.seqs == [4, 7]
