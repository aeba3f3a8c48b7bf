"""Events and their visit, without a foreign key between them: none without a visit, none of another tenant's.

The invariant: at every commit, each event's visit exists and has the event's tenant. Its foreign key holds a stream to
it; every event writes its stream's row and holds it to its own commit; and what deletes a visit waits for that.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest

from store.pool import Database
from tests.realtime.stream_gateway import make_visit, tell
from tests.stack import Services
from tests.support.waiting import until_somebody_waits_for
from tests.tenants import Tenant

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

DEADLINE_SECONDS = 30.0
DELETE = "DELETE FROM site_visits WHERE id = $1"
LOST = """
SELECT count(*) FROM processing_events e
WHERE e.tenant_id = $1 AND NOT EXISTS (SELECT FROM site_visits v WHERE v.id = e.visit_id AND v.tenant_id = e.tenant_id)
"""
VISITS = "INSERT INTO site_visits (tenant_id) SELECT $1 FROM generate_series(1, $2) RETURNING id"
EACH_TOLD = "INSERT INTO processing_events (visit_id, tenant_id, type) SELECT v, $2, 'a.b' FROM unnest($1::uuid[]) AS v"
READ = """
SELECT seq_scan AS scans, idx_tup_fetch + seq_tup_read AS rows FROM pg_stat_xact_user_tables
WHERE relid = 'public.processing_events'::regclass
"""
# By the trigger, and by the function that numbers many at once.
ONE = "INSERT INTO processing_events (visit_id, tenant_id, type) VALUES ($1, $2, 'a.b')"
MANY = """
SELECT scopekit.bulk_append_events(
    'a.b', array_agg(v ORDER BY v), array_agg($2::uuid), array_agg(NULL::uuid), array_agg('{}'::jsonb))
FROM unnest(ARRAY[$1::uuid, $3::uuid]) AS v
"""
WAYS = pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
STREAMS = pytest.mark.parametrize("has_events", [False, True], ids=["new", "told"])


@pytest.fixture
async def second(services: Services) -> AsyncIterator[Connection]:
    """Open another session of the schema's owner."""
    connection = await asyncpg.connect(services.admin_url)
    yield connection
    connection.terminate()


async def add(conn: Connection, tenant: Tenant, visit_id: UUID, another: UUID, *, many: bool) -> None:
    """Insert an event of the visit, by one way or the other: that of many takes another visit as well."""
    if many:
        await conn.execute(MANY, visit_id, tenant.id, another)
    else:
        await conn.execute(ONE, visit_id, tenant.id)


async def two_visits(db: Database, tenant: Tenant, *, has_events: bool) -> tuple[UUID, UUID]:
    """Open them; the first may have an event already."""
    visit, another = await make_visit(db, tenant), await make_visit(db, tenant)
    if has_events:
        await tell(db, tenant, visit, "a.b")
    return visit, another


async def count(admin: Connection, *visits: UUID) -> int:
    """Count the visits' events."""
    return int(await admin.fetchval("SELECT count(*) FROM processing_events WHERE visit_id = ANY ($1)", visits))


async def test_a_visits_events_go_with_it(admin: Connection, db: Database, service: Database, tenant: Tenant) -> None:
    """Two visits are deleted by a worker's one statement; the third keeps what was told of it."""
    visits = [await make_visit(db, tenant) for _ in range(3)]
    for visit in visits:
        await tell(db, tenant, visit, "a.b", "c.d")
    async with service.connection() as conn:
        await conn.execute("DELETE FROM site_visits WHERE id = ANY ($1)", visits[:2])
    left = await admin.fetch(
        "SELECT visit_id, seq FROM processing_events WHERE visit_id = ANY ($1) ORDER BY seq", visits
    )
    assert [tuple(row) for row in left] == [(visits[2], 1), (visits[2], 2)]


@pytest.mark.parametrize("tables", ["site_visits", "tenants", "site_visits, processing_events"])
async def test_all_events_go_with_all_visits(
    admin: Connection, db: Database, tenant: Tenant, visit: UUID, tables: str
) -> None:
    """As a foreign key would have it, by TRUNCATE as well."""
    await tell(db, tenant, visit, "a.b")
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute(f"TRUNCATE {tables} CASCADE")
    left = await admin.fetchval("SELECT count(*) FROM processing_events")
    await transaction.rollback()
    assert left == 0


async def test_a_visit_is_forgotten_by_key_after_thousands_were(admin: Connection, tenant: Tenant) -> None:
    """A session keeps the plan of its first deletion: it reads the events of the visits that go, and no others."""
    visits = [row["id"] for row in await admin.fetch(VISITS, tenant.id, 3000)]
    await admin.execute(EACH_TOLD, visits, tenant.id)
    await admin.execute("ANALYZE processing_events")
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute("DELETE FROM site_visits WHERE id = ANY ($1)", visits[:2000])
    before = await admin.fetchrow(READ)
    await admin.execute(DELETE, visits[-1])
    after = await admin.fetchrow(READ)
    await transaction.rollback()
    assert before is not None
    assert after is not None
    assert (after["scans"] - before["scans"], after["rows"] - before["rows"]) == (0, 1)


@WAYS
async def test_there_is_no_event_without_a_visit(
    admin: Connection, db: Database, tenant: Tenant, *, many: bool
) -> None:
    """Nor is any other of the same statement."""
    real, none = await make_visit(db, tenant), uuid4()
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await add(admin, tenant, none, real, many=many)
    assert await count(admin, none, real) == 0


@STREAMS
@WAYS
async def test_there_is_no_event_of_anothers_visit(
    admin: Connection, db: Database, tenant: Tenant, other_tenant: Tenant, *, many: bool, has_events: bool
) -> None:
    """By whomever: whether the stranger's stream exists or not."""
    mine, theirs = await make_visit(db, tenant), await make_visit(db, other_tenant)
    if has_events:
        await tell(db, other_tenant, theirs, "a.b")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await add(admin, tenant, theirs, mine, many=many)
    assert await admin.fetchval(LOST, tenant.id) == 0


@pytest.mark.parametrize("change", ["id = gen_random_uuid()", "tenant_id = gen_random_uuid()"])
async def test_a_visit_that_has_events_keeps_its_name(
    admin: Connection, db: Database, tenant: Tenant, visit: UUID, change: str
) -> None:
    """Its stream holds it."""
    await tell(db, tenant, visit, "a.b")
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="visit_streams"):
        await admin.execute(f"UPDATE site_visits SET {change} WHERE id = $1", visit)


@pytest.mark.parametrize("change", ["visit_id = gen_random_uuid()", "tenant_id = gen_random_uuid()", "seq = 99"])
async def test_an_event_keeps_its_visit(
    admin: Connection, db: Database, tenant: Tenant, visit: UUID, change: str
) -> None:
    """Not even its owner moves one."""
    await tell(db, tenant, visit, "a.b")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="keeps its visit"):
        await admin.execute(f"UPDATE processing_events SET {change} WHERE visit_id = $1", visit)


@STREAMS
@WAYS
async def test_who_deletes_a_visit_waits_for_who_tells_of_it(
    admin: Connection, second: Connection, db: Database, tenant: Tenant, *, many: bool, has_events: bool
) -> None:
    """What was told in a transaction that was open meanwhile is gone as well."""
    visit, another = await two_visits(db, tenant, has_events=has_events)
    transaction = second.transaction()
    await transaction.start()
    await add(second, tenant, visit, another, many=many)
    async with db.connection() as watcher, asyncio.timeout(DEADLINE_SECONDS):
        deletion = asyncio.create_task(admin.execute(DELETE, visit))
        await until_somebody_waits_for(second.get_server_pid(), watcher)
        await transaction.commit()
        await deletion
    assert await count(admin, visit) == 0
    assert await admin.fetchval(LOST, tenant.id) == 0


@WAYS
async def test_who_deletes_a_visit_as_it_was_earlier_is_refused(
    admin: Connection, second: Connection, db: Database, tenant: Tenant, *, many: bool
) -> None:
    """REPEATABLE READ would not see the events that came since; the cascade to the stream sees that they did."""
    visit, another = await two_visits(db, tenant, has_events=True)
    transaction = second.transaction(isolation="repeatable_read")
    await transaction.start()
    await second.fetchval("SELECT count(*) FROM processing_events")
    await add(admin, tenant, visit, another, many=many)
    with pytest.raises(asyncpg.SerializationError):
        await second.execute(DELETE, visit)
    await transaction.rollback()
    assert await admin.fetchval(LOST, tenant.id) == 0
    assert await count(admin, visit) == 2


@pytest.mark.parametrize("undone", [False, True], ids=["deleted", "kept"])
@STREAMS
@WAYS
async def test_who_tells_of_a_visit_waits_for_who_deletes_it(
    admin: Connection, second: Connection, db: Database, tenant: Tenant, *, many: bool, has_events: bool, undone: bool
) -> None:
    """And is refused once it is gone; where it stays after all, the event is there."""
    visit, another = await two_visits(db, tenant, has_events=has_events)
    transaction = second.transaction()
    await transaction.start()
    await second.execute(DELETE, visit)
    async with db.connection() as watcher, asyncio.timeout(DEADLINE_SECONDS):
        telling = asyncio.create_task(add(admin, tenant, visit, another, many=many))
        await until_somebody_waits_for(second.get_server_pid(), watcher)
        await (transaction.rollback() if undone else transaction.commit())
        [refusal] = await asyncio.gather(telling, return_exceptions=True)
    assert isinstance(refusal, type(None) if undone else asyncpg.ForeignKeyViolationError)
    assert await count(admin, visit) == (1 + has_events if undone else 0)
    assert await admin.fetchval(LOST, tenant.id) == 0
