"""The event bus: whatever becomes of Redis, the leader or the fleet's settings, each event comes once, in order."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis

from config.settings import Settings
from realtime.bus import leadership_term
from realtime.bus.entry import Entry, EntryId, SequenceChecker, UnknownEntry, batches, pack, unpack
from realtime.bus.leadership_term import Term
from realtime.bus.redis_stream import STREAM, BusStream
from realtime.protocol.events import parse
from store.events import event_bus
from store.pool import Database
from tests.realtime.feed.test_faults import Connection, terminate_listener
from tests.realtime.feed.watcher import Watcher, eventually, is_open, path, watch
from tests.realtime.stream_gateway import StreamGateway, make_visit, open_gateway, tell
from tests.stack import Services
from tests.support.servers.proxy import Proxy, proxy_to
from tests.tenants import Tenant

INSERT = "INSERT INTO processing_events (visit_id, type) VALUES ($1, 'a.b')"
NOTIFY_IS_CLOSED = "SELECT pg_sequence_last_value('scopekit.notify_transport') = 2"


@pytest.fixture
def bus() -> str:
    """Run on the bus."""
    return "redis"


@pytest.fixture
async def redis(services: Services) -> AsyncIterator[Redis]:
    """Connect to the server that the bus runs on."""
    async with Redis.from_url(services.redis_url) as client:
        yield client


async def leads(gateway: StreamGateway) -> None:
    """Wait until a gateway is the leader, and hears itself."""
    await eventually(lambda: gateway.hub.stats()["leads"] and gateway.hub.stats()["live"])


@asynccontextmanager
async def watched(gateway: StreamGateway, tenant: Tenant, visit: UUID) -> AsyncIterator[Watcher]:
    """Open a stream."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        yield watcher


@asynccontextmanager
async def two_gateways(
    settings: Settings, services: Services, *, proxied: int
) -> AsyncIterator[tuple[Proxy, StreamGateway, StreamGateway]]:
    """Run the leader and another gateway, one of which reaches Redis by way of a proxy."""
    async with proxy_to(services.redis_url) as proxy:
        by_proxy = settings.model_copy(update={"bus_url": proxy.url})
        async with open_gateway(by_proxy if proxied == 0 else settings) as leader:
            await leads(leader)
            async with open_gateway(by_proxy if proxied == 1 else settings) as other:
                await eventually(lambda: other.hub.stats()["live"])
                yield proxy, leader, other


async def test_events_come_by_the_bus_and_nobody_is_notified(
    gateway: StreamGateway, db: Database, admin: Connection, tenant: Tenant, visit: UUID
) -> None:
    """Once no listener is left the trigger notifies no more; what was committed comes live, without a look."""
    notified: list[object] = []
    await admin.add_listener("processing_events", lambda *_: notified.append(1))
    await leads(gateway)
    async with asyncio.timeout(10):
        while not await admin.fetchval(NOTIFY_IS_CLOSED):
            pass
    async with watched(gateway, tenant, visit) as watcher:
        await tell(db, tenant, visit, *["a.b"] * 20)
        await watcher.until_seq(20)
    assert watcher.seqs == list(range(1, 21))
    await admin.execute("SELECT 1")
    stats = gateway.hub.stats()
    assert (notified, stats["events"], stats["gaps_filled"], stats["reconnects"]) == ([], 20, 0, 0)
    await eventually(lambda: gateway.hub.stats()["published"] >= 20)  # counted once Redis has answered


async def test_a_flushed_server_loses_nothing(
    gateway: StreamGateway, db: Database, redis: Redis, tenant: Tenant, visit: UUID
) -> None:
    """The stream is deleted among the inserts, whatever was in it."""
    async with watched(gateway, tenant, visit) as watcher:
        for round_ in range(1, 6):
            await tell(db, tenant, visit, *["a.b"] * 5)
            await redis.flushdb()
            await tell(db, tenant, visit, *["a.b"] * 5)
            await watcher.until_seq(round_ * 10)
    assert watcher.seqs == list(range(1, 51))


async def test_who_was_overtaken_by_the_trim_reads_the_table(
    settings: Settings, services: Services, db: Database, redis: Redis, tenant: Tenant, visit: UUID
) -> None:
    """Entries are gone before a gateway has read them: the hole in their numbers shows it."""
    async with (
        two_gateways(settings, services, proxied=1) as (proxy, leader, other),
        watched(other, tenant, visit) as watcher,
    ):
        proxy.black_hole()
        await tell(db, tenant, visit, *["a.b"] * 5)
        await eventually(lambda: leader.hub.stats()["published"] >= 5)
        await redis.xtrim(STREAM, maxlen=0)
        proxy.mend()
        await watcher.until_seq(5)
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(6)
    assert watcher.seqs == list(range(1, 7))


async def test_when_the_leader_leaves_another_takes_its_place(
    settings: Settings, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """A gateway that is stopped hands the bus over; whoever writes meanwhile is heard by those that stay."""
    async with AsyncExitStack() as opened:
        leaving = await opened.enter_async_context(open_gateway(settings))
        await leads(leaving)
        async with open_gateway(settings) as staying, watched(staying, tenant, visit) as watcher:
            assert not staying.hub.stats()["leads"]
            writing = asyncio.create_task(tell(db, tenant, visit, *["a.b"] * 60))
            await watcher.until_seq(5)
            await opened.aclose()
            await writing
            await watcher.until_seq(60)
            await leads(staying)
    assert watcher.seqs == list(range(1, 61))


async def test_a_leader_that_cannot_reach_the_bus_makes_room(
    settings: Settings,
    services: Services,
    db: Database,
    tenant: Tenant,
    visit: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It gives its lock back, and a gateway that does reach the bus takes it."""
    monkeypatch.setattr(leadership_term, "GIVE_UP_SECONDS", 0.2)
    async with (
        two_gateways(settings, services, proxied=0) as (proxy, _carrier, other),
        watched(other, tenant, visit) as watcher,
    ):
        proxy.cut()
        await tell(db, tenant, visit, "a.b", "a.b")
        await leads(other)
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(3)
    assert watcher.seqs == [1, 2, 3]


async def test_a_bus_that_is_away_at_the_start_is_no_reason_not_to_start(
    settings: Settings, services: Services, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """The table is polled until it is there."""
    async with proxy_to(services.redis_url) as proxy:
        proxy.cut()
        async with (
            open_gateway(settings.model_copy(update={"bus_url": proxy.url})) as gateway,
            watched(gateway, tenant, visit) as watcher,
        ):
            assert gateway.hub.stats()["live"] is False
            await tell(db, tenant, visit, "a.b")
            await watcher.until_seq(1)
            proxy.mend()
            await leads(gateway)
            await tell(db, tenant, visit, "a.b")
            await watcher.until_seq(2)
    assert watcher.seqs == [1, 2]


async def test_what_others_write_to_the_stream_changes_nothing(
    gateway: StreamGateway, db: Database, redis: Redis, tenant: Tenant, visit: UUID
) -> None:
    """Entries without a mark, words that are none, a false number, another type in the stream's place."""
    await leads(gateway)
    async with watched(gateway, tenant, visit) as watcher:
        await tell(db, tenant, visit, "a.b")
        for words in ("", "{", f'{{"visit_id":"{visit}","seq":900}}', f'{{"visit_id":"{visit}","seq":1}}'):
            await redis.xadd(STREAM, {"term": "x", "number": 7, "messages": words, "control": "{"})
        await redis.xadd(STREAM, {"foreign": b"\xff"})
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(2)
        await redis.set(STREAM, "not a stream")
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(3)
        await redis.delete(STREAM)
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(4)
    assert watcher.seqs == [1, 2, 3, 4]


async def test_more_than_can_be_told_at_once_is_read_from_the_table(
    gateway: StreamGateway, admin: Connection, tenant: Tenant, visit: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A huge transaction is a hole in the leader's numbers."""
    monkeypatch.setattr(leadership_term, "MOST_MESSAGES", 10)
    async with watched(gateway, tenant, visit) as watcher:
        await admin.execute(
            "INSERT INTO processing_events (visit_id, type) SELECT $1, 'a.b' FROM generate_series(1, 50)", visit
        )
        await watcher.until_seq(50)
    assert watcher.seqs == list(range(1, 51))


async def test_what_was_committed_comes_exactly_once_whoever_holds_transactions_open(
    settings: Settings, services: Services, admin: Connection, db: Database, tenant: Tenant
) -> None:
    """Looks among writers that commit late, roll back and meet show together all there is, each visit in order."""
    visits = [await make_visit(db, tenant) for _ in range(4)]
    assert await event_bus.become_leader(admin) is not None

    async def write(random: Random) -> None:
        connection = await asyncpg.connect(services.admin_url)
        for _ in range(12):
            transaction = connection.transaction()
            await transaction.start()
            for visit in sorted(random.sample(visits, random.randint(1, 3)), key=str):
                await connection.execute(INSERT, visit)
                await connection.execute("SELECT pg_sleep($1)", random.random() * 0.02)
            await (transaction.rollback() if random.random() < 0.25 else transaction.commit())
        await connection.close()

    snapshot = await event_bus.position(admin, 0)
    assert snapshot is not None
    writing = asyncio.gather(*(write(Random(seed)) for seed in range(6)))
    seen: dict[str, list[int]] = defaultdict(list)
    while True:
        over = writing.done()
        snapshot, words = await event_bus.committed_since(admin, snapshot, 1000)
        for word in map(parse, words):
            seen[word.visit_id].append(word.seq)
        await event_bus.tend(admin, snapshot)
        if over:
            break
    await writing
    for visit in visits:
        count = await admin.fetchval("SELECT count(*) FROM processing_events WHERE visit_id = $1", visit)
        assert seen[str(visit)] == list(range(1, count + 1))
    async with asyncio.timeout(30):  # whoever else writes in this server may hold back what is cleared
        while await admin.fetchval("SELECT EXISTS (SELECT FROM scopekit.event_outbox)"):
            snapshot, _ = await event_bus.committed_since(admin, snapshot, 1000)
            await event_bus.tend(admin, snapshot)
    await admin.execute("SELECT pg_advisory_unlock_all()")


async def test_a_mixed_fleet_hears_everything_by_both_ways(
    settings: Settings, services: Services, admin: Connection, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """Gateways change over one by one, there and back; a transaction that is open meanwhile is told to all."""
    writer = await asyncpg.connect(services.admin_url)
    async with open_gateway(settings) as by_bus, watched(by_bus, tenant, visit) as one:
        async with asyncio.timeout(10):
            while not await admin.fetchval(NOTIFY_IS_CLOSED):
                pass
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute(INSERT, visit)
        opening = open_gateway(services.settings(event_bus="notify"))
        coming = asyncio.create_task(opening.__aenter__())
        async with asyncio.timeout(10):
            while await admin.fetchval(NOTIFY_IS_CLOSED):
                pass
        await transaction.commit()
        by_notify = await coming
        async with watched(by_notify, tenant, visit) as two:
            await tell(db, tenant, visit, "a.b")
            await two.until_seq(2)
            await one.until_seq(2)
        await opening.__aexit__(None, None, None)
        async with asyncio.timeout(10):
            while not await admin.fetchval(NOTIFY_IS_CLOSED):
                pass
        await tell(db, tenant, visit, "a.b")
        await one.until_seq(3)
    await writer.close()
    assert (one.seqs, two.seqs) == ([1, 2, 3], [2])


async def test_a_listener_starts_behind_a_transaction_that_goes_on(
    services: Services, admin: Connection, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """What may yet be inserted without NOTIFY is no reason not to come back from the bus: the table is polled."""
    await admin.execute("SELECT setval('scopekit.notify_transport', 2)")
    writer = await asyncpg.connect(services.admin_url)
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute(INSERT, visit)
    async with (
        open_gateway(services.settings(event_bus="notify")) as gateway,
        watched(gateway, tenant, visit) as watcher,
    ):
        assert gateway.hub.stats()["live"] is False
        await transaction.commit()
        await watcher.until_seq(1)
        await eventually(lambda: gateway.hub.stats()["live"])
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(2)
    await writer.close()
    assert watcher.seqs == [1, 2]


async def test_a_term_waits_for_those_who_did_not_know_of_it(
    settings: Settings, services: Services, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """A transaction from before the bus was opened is not noted for it: until it ends the table is polled."""
    writer = await asyncpg.connect(services.admin_url)
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute(INSERT, visit)
    async with open_gateway(settings) as gateway, watched(gateway, tenant, visit) as watcher:
        assert gateway.hub.stats()["live"] is False
        await transaction.commit()
        await eventually(lambda: gateway.hub.stats()["live"])
        await watcher.until_seq(1)
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(2)
    await writer.close()
    assert watcher.seqs == [1, 2]


async def test_what_was_told_is_not_looked_at_again_behind_a_long_writer(
    settings: Settings, services: Services, admin: Connection, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """A transaction that goes on writing keeps the notes from being cleared, and costs the next looks nothing."""
    read = (
        "SELECT pg_stat_get_xact_tuples_fetched(r) + pg_stat_get_xact_tuples_returned(r)"
        " FROM (SELECT unnest(ARRAY['scopekit.event_outbox', 'scopekit.event_outbox_xact'])::regclass AS r) AS s"
    )
    writer = await asyncpg.connect(services.admin_url)
    assert await event_bus.become_leader(admin) is not None
    async with writer.transaction():
        await writer.execute("SELECT pg_current_xact_id()")
        await tell(db, tenant, visit, *["a.b"] * 20)
        snapshot = await event_bus.position(admin, 0)
        assert snapshot is not None
        before = await admin.fetch(read)
        assert (await event_bus.committed_since(admin, snapshot, 1000))[1] == []
        assert await admin.fetch(read) == before
    await writer.close()
    await admin.execute("SELECT pg_advisory_unlock_all()")


async def test_what_has_heaped_up_is_cleared_piece_by_piece(admin: Connection) -> None:
    """The leader waits for an answer no longer than a moment, however much there is."""
    await admin.execute("DELETE FROM scopekit.event_outbox")
    await admin.execute(
        "INSERT INTO scopekit.event_outbox SELECT '5', gen_random_uuid(), 1 FROM generate_series(1, 50001)"
    )
    snapshot = await event_bus.position(admin, 0)
    assert snapshot is not None
    for left in (1, 0):
        await event_bus.tend(admin, snapshot)
        assert await admin.fetchval("SELECT count(*) FROM scopekit.event_outbox") == left


async def test_a_way_that_another_database_opened_is_opened_anew(admin: Connection) -> None:
    """A dump brings along by which transaction a way was opened; where it is restored none comes to that number."""
    await admin.execute("SELECT setval('scopekit.notify_transport', 1000000000000)")
    opened = await event_bus.enable_notify(admin)
    assert opened <= await admin.fetchval("SELECT pg_current_xact_id()::text::bigint")
    assert await event_bus.enable_notify(admin) == opened
    await admin.execute("SELECT pg_advisory_unlock_all()")


async def test_notes_of_another_database_are_told_to_nobody(
    admin: Connection, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """A dump brings them along, too; where it is restored their transactions are yet to come."""
    await tell(db, tenant, visit, "a.b")
    await admin.execute("INSERT INTO scopekit.event_outbox VALUES ('1000000000000', $1, 1)", visit)
    snapshot = await event_bus.position(admin, 0)
    assert snapshot is not None
    assert (await event_bus.committed_since(admin, snapshot, 1000))[1] == []
    await admin.execute("DELETE FROM scopekit.event_outbox")


async def test_who_hears_only_itself_does_not_carry(services: Services, admin: Connection) -> None:
    """By a transaction pooler one's own words come back, and no other's; the lock would stay with who comes next."""
    elsewhere = urlsplit(services.gateway_url)._replace(path="/postgres").geturl()
    db = await Database.open(elsewhere, name="elsewhere")
    async with BusStream.connected(services.redis_url) as stream:
        assert not await Term(admin, stream, lambda _: None).begin(db)
    await db.close()
    assert not await event_bus.has_leader(admin)


async def test_control_words_come_by_the_bus(
    gateway: StreamGateway, admin: Connection, tenant: Tenant, visit: UUID
) -> None:
    """A removed member's stream ends, though no gateway listens to the database but the leader."""
    await leads(gateway)
    async with watched(gateway, tenant, visit) as watcher:
        await admin.execute("DELETE FROM memberships WHERE user_id = $1", tenant.user_id)
        await watcher.until_closed()
    assert watcher.named("end")[0].json == {"reason": "revoked"}
    assert await terminate_listener(admin) == 1


async def test_what_is_put_on_the_bus_is_read_as_it_was(services: Services) -> None:
    """Line separators that are no line ends, control words, a farewell."""
    entry = Entry(EntryId("t", 7), ["ä\u2028{}", "b"], ['{"kind":"flags"}'])
    async with BusStream.connected(services.redis_url) as stream:
        place = await stream.newest()
        await stream.append(entry)
        await stream.append(Entry(EntryId("t", 8), farewell=True))
        _, read = await stream.read(place)
    assert read == [entry, Entry(EntryId("t", 8), farewell=True)]


def test_entries_are_bounded_and_keep_the_order_of_words() -> None:
    """What does not fit begins the next one; a word longer than an entry has one to itself."""
    assert list(batches(["aa", "b", "cc", "ddddd", "e"], 3)) == [["aa", "b"], ["cc"], ["ddddd"], ["e"]]
    assert list(batches([], 3)) == []


def test_a_chain_breaks_where_something_may_be_missing() -> None:
    """The next number of the same term follows; a hole, a repetition, a new term and what comes after a cut do not."""
    chain = SequenceChecker()
    marks = [
        EntryId("a", 3),
        EntryId("a", 4),
        EntryId("a", 6),
        EntryId("a", 6),
        EntryId("a", 7),
        EntryId("b", 8),
        EntryId("b", 9),
    ]
    assert [chain.follows(mark) for mark in marks] == [False, True, False, False, True, False, True]
    chain.reset()
    assert not chain.follows(EntryId("b", 10))


@pytest.mark.parametrize(
    "fields", [{}, {b"term": b"a"}, {b"term": b"a", b"number": b"x"}, {b"term": b"\xff", b"number": b"1"}]
)
def test_what_no_leader_has_written_is_refused(fields: dict[bytes, bytes]) -> None:
    """Anybody who reaches the server may write to it."""
    with pytest.raises(UnknownEntry):
        unpack(fields)
    assert pack(Entry(EntryId("a", 1))) == {"term": "a", "number": 1}
