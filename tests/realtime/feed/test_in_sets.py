"""Events of many visits in one statement: each as if it had been inserted alone."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest

from config.settings import Settings
from realtime.feed.notify import Notify
from realtime.feed.source import SourceCallbacks
from realtime.protocol.epoch import EPOCH_GAP
from realtime.protocol.events import EventRef, parse
from store.events import event_bus
from store.pool import Database
from tests.realtime.feed.test_table import Ear, ear
from tests.realtime.stream_gateway import make_visit, tell
from tests.stack import Services
from tests.support.carrying import begin_to_carry
from tests.tenants import Tenant

__all__ = ["ear"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

DEADLINE_SECONDS = 30.0
EVENTS = """
SELECT v, $2::uuid AS tenant_id, gen_random_uuid() AS job_id, '{"a": 1}'::jsonb AS payload
FROM unnest($1::uuid[]) AS v ORDER BY v
"""
IN_ONE = f"""
SELECT scopekit.bulk_append_events($3, array_agg(v), array_agg(tenant_id), array_agg(job_id), array_agg(payload))
FROM ({EVENTS}) AS e
"""
NUMBERS_ONLY = IN_ONE.replace("array_agg(payload))", "array_agg(payload), 2)")
ONE_BY_ONE = f"""
INSERT INTO processing_events (visit_id, tenant_id, job_id, type, payload)
SELECT v, tenant_id, job_id, $3, payload FROM ({EVENTS}) AS e
"""
VISITS = "INSERT INTO site_visits (tenant_id) SELECT $1 FROM generate_series(1, $2) RETURNING id"
STREAMS = "INSERT INTO visit_streams (visit_id, tenant_id, last_seq) SELECT v, $2, $3 FROM unnest($1::uuid[]) AS v"
LAST = 2**63 - 1
NOTIFY_BYTES = 8000
STREAM = "SELECT last_seq, job_id, ended_by, tenant_id FROM visit_streams WHERE visit_id = $1"


@pytest.fixture
async def notified(admin: Connection) -> asyncio.Queue[str]:
    """Hear notifications as they come, however many words each has."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    await admin.add_listener("processing_events", lambda *word: heard.put_nowait(str(word[-1])))
    return heard


async def make_visits(db: Database, tenant: Tenant, count: int) -> list[UUID]:
    """Open visits, in the order of their ids."""
    return sorted([await make_visit(db, tenant) for _ in range(count)])


async def told(admin: Connection, statement: str, tenant: Tenant, visits: Sequence[UUID], kind: str) -> Any:
    """Insert an event of each visit by the statement; returns what is there afterwards."""
    await admin.execute(statement, visits, tenant.id, kind)
    rows = await admin.fetch("SELECT * FROM processing_events WHERE visit_id = ANY ($1) ORDER BY visit_id, seq", visits)
    heads = [await admin.fetchrow(STREAM, visit) for visit in visits]
    return (
        [(visits.index(row["visit_id"]), row["seq"], row["type"], row["payload"], row["tenant_id"]) for row in rows],
        [head and (head["last_seq"], head["job_id"] is None, head["ended_by"], head["tenant_id"]) for head in heads],
    )


@pytest.mark.parametrize("kind", ["job.queued", "job.completed", "media.stored"])
async def test_events_in_one_statement_are_numbered_as_one_by_one(
    admin: Connection, db: Database, tenant: Tenant, kind: str
) -> None:
    """Streams that have events, streams that have none: the same numbers, and the same heads."""
    found = []
    for statement in (IN_ONE, ONE_BY_ONE):
        visits = await make_visits(db, tenant, 5)
        await tell(db, tenant, visits[1], "job.started", "a.b", "c.d", job_id=uuid4())
        await tell(db, tenant, visits[3], "a.b")
        found.append([await told(admin, statement, tenant, visits, kind) for _ in range(2)])
    assert found[0] == found[1]
    assert [head[0] for head in found[0][-1][1]] == [2, 5, 2, 3, 2]


async def test_streams_of_another_database_are_torn_as_one_by_one(
    admin: Connection, db: Database, tenant: Tenant
) -> None:
    """Their epoch came along with the rows, and is another's."""
    found = []
    for statement in (IN_ONE, ONE_BY_ONE):
        visits = await make_visits(db, tenant, 2)
        for visit in visits:
            await tell(db, tenant, visit, "a.b")
        await admin.execute("UPDATE visit_streams SET epoch = 17 WHERE visit_id = ANY ($1)", visits)
        found.append(await told(admin, statement, tenant, visits, "job.queued"))
    assert found[0] == found[1]
    assert [head[0] for head in found[0][1]] == [EPOCH_GAP + 2, EPOCH_GAP + 2]


async def test_each_is_told_whole(admin: Connection, db: Database, tenant: Tenant, ear: Ear) -> None:
    """What a listener hears is the row's document, number and all."""
    visits = await make_visits(db, tenant, 3)
    await admin.execute(IN_ONE, visits, tenant.id, "job.queued")
    for visit in visits:
        word = await ear.next_of(visit)
        [row] = await admin.fetch(
            "SELECT scopekit.event_document(e) AS document FROM processing_events e WHERE visit_id = $1", visit
        )
        assert json.loads(getattr(word, "document", b"null")) == json.loads(row["document"])


async def test_of_very_many_only_the_numbers_are_told(
    admin: Connection, db: Database, tenant: Tenant, ear: Ear
) -> None:
    """Relays read what somebody watches; nobody writes thousands of documents for those that nobody does."""
    visits = await make_visits(db, tenant, 3)
    await admin.execute(NUMBERS_ONLY, visits, tenant.id, "job.queued")
    assert [await ear.next_of(visit) for visit in visits] == [EventRef(str(visit), 1) for visit in visits]


async def test_numbers_come_many_to_a_notification(
    settings: Settings, admin: Connection, db: Database, tenant: Tenant, notified: asyncio.Queue[str]
) -> None:
    """The relay takes them apart again; 250 of 19 digits, the longest there are, need three."""
    visits = [row["id"] for row in await admin.fetch(VISITS, tenant.id, 250)]
    await admin.execute(STREAMS, visits, tenant.id, LAST - 1)
    heard: asyncio.Queue[str] = asyncio.Queue()
    source = Notify(db, settings.listen_url, SourceCallbacks(heard.put_nowait, lambda _: None, lambda: None))
    await source.start()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await admin.execute(NUMBERS_ONLY, visits, tenant.id, "job.queued")
            words = {parse(await heard.get()) for _ in visits}
            notifications = [await notified.get() for _ in range(3)]
    finally:
        await source.stop()
    assert words == {EventRef(str(visit), LAST) for visit in visits}
    assert sum(len(notification.split("\n")) for notification in notifications) == len(visits)
    assert max(map(len, notifications)) < NOTIFY_BYTES


async def test_each_is_noted_for_the_bus(services: Services, admin: Connection, db: Database, tenant: Tenant) -> None:
    """While somebody carries it; and NOTIFY is as it was."""
    visits = await make_visits(db, tenant, 3)
    carrier = await asyncpg.connect(services.admin_url)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            snapshot = await begin_to_carry(carrier)
        await admin.execute(IN_ONE, visits, tenant.id, "job.queued")
        _, words = await event_bus.committed_since(carrier, snapshot, 1000)
    finally:
        await carrier.close()
    async with asyncio.timeout(DEADLINE_SECONDS):  # a session may end a moment after its connection
        while not await event_bus.retire(admin):
            continue
    assert {(word.visit_id, word.seq) for word in map(parse, words)} >= {(str(visit), 1) for visit in visits}


async def test_one_visit_may_come_twice(admin: Connection, db: Database, tenant: Tenant) -> None:
    """Two jobs of one visit, queued by one statement."""
    visits = await make_visits(db, tenant, 2)
    await admin.execute(IN_ONE, [visits[0], visits[1], visits[0]], tenant.id, "job.queued")
    rows = await admin.fetch("SELECT visit_id, seq FROM processing_events WHERE visit_id = ANY ($1)", visits)
    assert sorted((visits.index(row["visit_id"]), row["seq"]) for row in rows) == [(0, 1), (0, 2), (1, 1)]


@pytest.mark.parametrize("has_events", [False, True])
async def test_of_another_tenants_visit_nothing_is_told(
    admin: Connection, db: Database, tenant: Tenant, other_tenant: Tenant, *, has_events: bool
) -> None:
    """All or nothing, whether the stranger's stream exists or not."""
    mine, theirs = await make_visit(db, tenant), await make_visit(db, other_tenant)
    if has_events:
        await tell(db, other_tenant, theirs, "a.b")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await admin.execute(IN_ONE, [mine, theirs], tenant.id, "job.queued")
    assert await admin.fetchval("SELECT count(*) FROM processing_events WHERE visit_id = $1", mine) == 0
    assert await admin.fetchval("SELECT max(last_seq) FROM visit_streams WHERE visit_id = $1", theirs) == (
        1 if has_events else None
    )


async def test_nobody_but_the_function_numbers_events(db: Database, tenant: Tenant, visit: UUID) -> None:
    """A signed-in user who says that they would are numbered as ever, and may not call it."""
    async with db.as_user(tenant.claims) as conn:
        await conn.execute("SELECT set_config('scopekit.numbering', 'on', true)")
        seq = await conn.fetchval(
            "INSERT INTO processing_events (visit_id, type, seq) VALUES ($1, 'a.b', 99) RETURNING seq", visit
        )
    assert seq == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.as_user(tenant.claims) as conn:
            await conn.execute("SELECT scopekit.bulk_append_events('a.b', '{}', '{}', '{}', '{}')")


async def test_two_who_tell_of_the_same_visits_wait_for_each_other(
    services: Services, admin: Connection, db: Database, tenant: Tenant
) -> None:
    """Batches that overlap lock streams in one order: no deadlock, no number given twice, no gap."""
    visits = await make_visits(db, tenant, 12)

    async def write(number: int) -> None:
        connection = await asyncpg.connect(services.admin_url)
        try:
            for turn in range(8):
                some = [visit for place, visit in enumerate(visits) if (place + turn + number) % 3]
                await connection.execute(IN_ONE if turn % 2 else ONE_BY_ONE, some, tenant.id, "job.queued")
        finally:
            await connection.close()

    await asyncio.gather(*(write(number) for number in range(6)))
    for visit in visits:
        rows = await admin.fetch("SELECT seq FROM processing_events WHERE visit_id = $1 ORDER BY seq", visit)
        assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert await admin.fetchval("SELECT count(*) FROM processing_events WHERE visit_id = ANY ($1)", visits) == 6 * 8 * 8
