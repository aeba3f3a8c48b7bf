"""The table is the interface: numbering and telling, whoever inserts."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.protocol import wire
from realtime.protocol.events import Event, EventRef, parse, parse_row
from store.events import events
from store.pool import Database
from tests.realtime.client.eventsource import EventStream
from tests.realtime.stream_gateway import make_visit, tell
from tests.stack import Services
from tests.support.waiting import until_somebody_waits_for
from tests.tenants import Tenant

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Ear:
    """Hears a channel and keeps what it hears."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        """Keep what it says, a word to a line."""
        for word in str(payload).split("\n"):
            self.heard.put_nowait(word)

    async def next_of(self, visit_id: UUID) -> Event | EventRef:
        """Return the next word of a visit."""
        async with asyncio.timeout(5):
            while (word := parse(await self.heard.get())).visit_id != str(visit_id):
                pass
        return word


@pytest.fixture
async def ear(admin: Connection) -> AsyncIterator[Ear]:
    """Listen to events."""
    ear = Ear()
    await admin.add_listener("processing_events", ear)
    yield ear
    await admin.remove_listener("processing_events", ear)


async def insert(admin: Connection, visit_id: UUID, payload: object = None, **columns: object) -> int:
    """Insert as the runbook does: naming the visit, and whatever else it thinks of."""
    names = ["visit_id", "type", "payload", *columns]
    places = ", ".join(["$1", "$2", "$3::text::jsonb", *(f"${index}" for index in range(4, len(names) + 1))])
    seq: int = await admin.fetchval(
        f"INSERT INTO processing_events ({', '.join(names)}) VALUES ({places}) RETURNING seq",
        visit_id,
        "step.progress",
        json.dumps(payload or {}),
        *columns.values(),
    )
    return seq


async def test_a_row_is_numbered_whatever_number_it_brings(admin: Connection, visit: UUID, tenant: Tenant) -> None:
    """A client's seq counts for nothing, and the tenant follows from the visit."""
    assert [await insert(admin, visit, seq=seq) for seq in (99, None, -5)] == [1, 2, 3]
    rows = await admin.fetch("SELECT seq, tenant_id FROM processing_events WHERE visit_id = $1 ORDER BY seq", visit)
    assert [(row["seq"], row["tenant_id"]) for row in rows] == [(1, tenant.id), (2, tenant.id), (3, tenant.id)]


async def test_many_rows_of_one_statement_are_numbered_in_order(admin: Connection, visit: UUID) -> None:
    """A batch is as good as single rows."""
    rows = await admin.fetch(
        "INSERT INTO processing_events (visit_id, type, payload) "
        "SELECT $1, 'step.progress', jsonb_build_object('n', n) FROM generate_series(1, 50) AS n "
        "RETURNING seq, (payload ->> 'n')::int AS n",
        visit,
    )
    assert [(row["seq"], row["n"]) for row in rows] == [(n, n) for n in range(1, 51)]


async def test_seq_order_is_commit_order_without_a_gap(
    services: Services, admin: Connection, visit: UUID, ear: Ear
) -> None:
    """Writers that hold their transactions open, roll back or race leave numbers in the order of their commits."""

    async def write(number: int) -> None:
        connection = await asyncpg.connect(services.admin_url)
        try:
            for turn in range(10):
                transaction = connection.transaction()
                await transaction.start()
                await connection.execute(
                    "INSERT INTO processing_events (visit_id, type) VALUES ($1, 'step.progress')", visit
                )
                await connection.execute("SELECT pg_sleep(0.002 * random())")
                await (transaction.rollback() if (turn + number) % 3 == 0 else transaction.commit())
        finally:
            await connection.close()

    await asyncio.gather(*(write(number) for number in range(6)))
    count = await admin.fetchval("SELECT count(*) FROM processing_events WHERE visit_id = $1", visit)
    assert count == 6 * 10 - 20
    assert [(await ear.next_of(visit)).seq for _ in range(count)] == list(range(1, count + 1))


async def test_nobody_sees_a_number_before_those_under_it(services: Services, admin: Connection, visit: UUID) -> None:
    """While one writer holds its transaction open, the next waits: no reader can skip an event that comes late."""
    first, second = await asyncpg.connect(services.admin_url), await asyncpg.connect(services.admin_url)
    statement = "INSERT INTO processing_events (visit_id, type) VALUES ($1, 'a.b') RETURNING seq"
    try:
        async with first.transaction():
            assert await first.fetchval(statement, visit) == 1
            waiting = asyncio.create_task(second.fetchval(statement, visit))
            await until_somebody_waits_for(first.get_server_pid(), admin)
            assert not waiting.done()
        assert await waiting == 2
    finally:
        await first.close()
        await second.close()


@pytest.mark.parametrize(
    "payload",
    [
        {"text": "x" * 100_000},
        {"emoji": "👷🏽‍♀️🏗️" * 300, "text": "líneas\nzwei\r\n二\u2028四\u0085"},
        {"quotes": "\"\\' }{ id: 5\n\ndata: no", "slashes": "\\u0000 is text here"},
        {"deep": None, "n": 10**300, "f": 1e-300, "list": [[[]]], "": ""},
    ],
    ids=["100 KB", "scripts", "syntax", "shapes"],
)
async def test_any_payload_is_stored_and_read_back_as_it_was(
    admin: Connection, visit: UUID, payload: dict[str, object], ear: Ear
) -> None:
    """The insert never fails for its payload, and the document holds it unchanged, live or replayed."""
    await insert(admin, visit, payload)
    word = await ear.next_of(visit)
    row = (await events.after(admin, visit, 0))[0]
    if isinstance(word, Event):
        assert word.document.decode() == row["document"]
    assert ("\n" in row["document"]) is False
    stored = await admin.fetchval("SELECT payload::text FROM processing_events WHERE visit_id = $1", visit)
    assert f'"payload":{stored},' in row["document"]
    assert json.loads(stored) == payload


TEXT = st.text() | st.sampled_from(
    ["\r", "\n\n", "\r\n", "data: x\n\nid: 9\n", "\\u0000", "\u2028", "👷🏽\u200d♀️", "\ufeff"]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


@hypothesis.settings(max_examples=60, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@given(payloads=st.lists(st.dictionaries(TEXT, JSON, max_size=4), min_size=1, max_size=4), huge=st.integers(0, 3))
async def test_any_payload_comes_whole_from_the_insert_to_an_eventsource(
    db: Database, tenant: Tenant, visit: UUID, ear: Ear, payloads: list[dict[str, Any]], huge: int
) -> None:
    """No insert fails, and live or from the table its frame is one message: as many, in order, what was stored."""
    payloads[huge % len(payloads)]["text"] = "ümlaut 📐\r\n" * 8_000  # more than 100 KB
    last = 0
    for payload in payloads:
        last = await tell(db, tenant, visit, "a.b", payload=payload)
    words = [await ear.next_of(visit) for _ in payloads]
    async with db.as_system() as conn:
        rows = await events.after(conn, visit, last - len(payloads))
    frames = [wire.frame(parse_row(row["document"])) for row in rows]
    assert [word.seq for word in words] == [row["seq"] for row in rows]
    assert [wire.frame(word) for word in words if isinstance(word, Event)] == [
        frame for word, frame in zip(words, frames, strict=True) if isinstance(word, Event)
    ]
    stream = EventStream()
    stream.feed(b"".join(frames))
    assert [message.id for message in stream.messages] == [str(row["seq"]) for row in rows]
    assert [message.json["payload"] for message in stream.messages] == [
        events.storable(payload) for payload in payloads
    ]


@pytest.mark.parametrize("character", ["a", "é", "👷"], ids=["1 byte", "2 bytes", "4 bytes"])
async def test_a_notification_carries_what_fits(admin: Connection, visit: UUID, ear: Ear, character: str) -> None:
    """Just under 7,900 bytes the whole row is told, from there on only its number; bytes count, not letters."""
    width = len(character.encode())
    await insert(admin, visit, {"text": ""})
    empty = len((await events.after(admin, visit, 0))[0]["document"].encode())
    await ear.next_of(visit)
    room = 7_899 - empty
    await insert(admin, visit, {"text": character * (room // width) + "a" * (room % width)})
    await insert(admin, visit, {"text": character * (room // width) + "a" * (room % width + 1)})
    whole, named = await ear.next_of(visit), await ear.next_of(visit)
    assert isinstance(whole, Event)
    assert len(whole.document) == 7_899
    assert named == EventRef(str(visit), 3)


async def test_jsonb_refuses_nul_so_writers_clean(admin: Connection, db: Database, tenant: Tenant, visit: UUID) -> None:
    r"""A payload with \u0000 is refused by jsonb itself; what goes through `events.append` has U+FFFD instead."""
    with pytest.raises(asyncpg.UntranslatableCharacterError):
        await admin.execute(
            "INSERT INTO processing_events (visit_id, type, payload) VALUES ($1, 'a.b', $2::text::jsonb)",
            visit,
            '{"name": "a\\u0000b"}',
        )
    await tell(db, tenant, visit, "media.stored", payload={"a\0": ["b\0", "\ud83d", "\ud83d\ude00", 1, None, 10**20]})
    assert await admin.fetchval("SELECT payload FROM processing_events WHERE visit_id = $1", visit) == {
        "a\ufffd": ["b\ufffd", "\ufffd", "😀", 1, None, "1" + "0" * 20]
    }


async def test_a_tenant_cannot_reach_anothers_stream(
    admin: Connection, db: Database, tenant: Tenant, other_tenant: Tenant, visit: UUID
) -> None:
    """An event for a foreign visit is refused under either tenant's name, and the stream does not move."""
    await insert(admin, visit)
    for named in (tenant.id, other_tenant.id, None):
        with pytest.raises(asyncpg.PostgresError):
            async with db.as_user(other_tenant.claims) as conn:
                await conn.execute(
                    "INSERT INTO processing_events (visit_id, tenant_id, type) VALUES ($1, $2, 'a.b')", visit, named
                )
    assert await admin.fetchval("SELECT last_seq FROM visit_streams WHERE visit_id = $1", visit) == 1


async def test_a_page_is_bounded_in_rows_and_bytes(admin: Connection, db: Database, visit: UUID) -> None:
    """A page ends at its limit or at a megabyte, and an event larger than that still comes, alone."""
    await insert(admin, visit, {"text": "x" * 1_500_000})
    for _ in range(3):
        await insert(admin, visit, {"text": "x" * 400_000})
    async with db.as_system() as conn:
        pages = [[row["seq"] for row in await events.after(conn, visit, after)] for after in (0, 1, 3, 4)]
        few = [row["seq"] for row in await events.after(conn, visit, 1, limit=1)]
    assert (pages, few) == ([[1], [2, 3], [4], []], [2])


async def test_several_pages_are_read_in_one_round_trip_as_each_alone(
    admin: Connection, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """In the order asked for, one visit twice, and an empty page where there is nothing."""
    other = await make_visit(db, tenant)
    for whose in (visit, visit, visit, other):
        await insert(admin, whose)
    asked: list[tuple[UUID | str, int]] = [(other, 0), (visit, 1), (uuid4(), 0), (str(visit), 0), (visit, 3)]
    async with db.as_system() as conn:
        together = await events.after_each(conn, asked, limit=2)
        alone = [await events.after(conn, UUID(str(visit_id)), position, limit=2) for visit_id, position in asked]
    found = [[(row["seq"], row["document"]) for row in page] for page in together]
    assert found == [[(row["seq"], row["document"]) for row in page] for page in alone]
    assert [len(page) for page in found] == [1, 2, 0, 2, 0]


async def test_the_snapshot_tells_the_latest_jobs_steps(
    admin: Connection, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """Position, job and the steps of its latest attempt are of one moment."""
    job = uuid4()
    await tell(db, tenant, visit, "job.queued", "job.started", job_id=uuid4())
    await tell(db, tenant, visit, "step.started", payload={"step": "gather", "index": 1, "count": 7}, job_id=job)
    await tell(db, tenant, visit, "job.queued", "job.started", job_id=job)
    for type_, payload in (
        ("step.started", {"step": "gather"}),
        ("step.completed", {"step": "gather", "ms": 12}),
        ("step.progress", {"step": "look", "done": 1, "total": 3}),
        ("step.progress", {"step": "look", "done": 2, "total": 3}),
    ):
        await tell(db, tenant, visit, type_, payload=payload, job_id=job)
    await tell(db, tenant, visit, "media.stored")
    async with db.as_system() as conn:
        [found, unknown] = await events.initial_states(conn, tenant.id, None, [visit, uuid4()], snapshot=True)
    assert (found["last_seq"], found["job_id"], found["ended_by"]) == (10, job, None)
    assert found["steps"] == {
        "gather": {"status": "completed", "done": None, "total": None, "ms": 12},
        "look": {"status": "running", "done": 2, "total": 3, "ms": None},
    }
    assert tuple(unknown)[1:] == (True, False, 0, [], None, None, {}, None)


async def test_an_opening_tells_a_foreign_tenant_nothing(
    admin: Connection, db: Database, tenant: Tenant, other_tenant: Tenant, visit: UUID
) -> None:
    """Where a visit stands is told to its own tenant alone; whether streams are on, to each of itself."""
    await tell(db, tenant, visit, "job.queued", job_id=uuid4())
    await admin.execute("UPDATE tenant_settings SET feature_flags = '{}' WHERE tenant_id = $1", tenant.id)
    async with db.as_system() as conn:
        [own] = await events.initial_states(conn, tenant.id, tenant.user_id, [visit], snapshot=False)
        [foreign] = await events.initial_states(conn, other_tenant.id, tenant.user_id, [visit], snapshot=True)
        [nobody] = await events.initial_states(conn, uuid4(), tenant.user_id, [visit], snapshot=True)
    assert (own["enabled"], own["visible"], own["last_seq"], own["ended_by"]) == (False, True, 1, None)
    assert own["members"] == [tenant.user_id]
    assert tuple(foreign) == (visit, True, False, 0, [], None, None, {}, [other_tenant.user_id])
    assert tuple(nobody) == (visit, False, False, 0, [], None, None, {}, [])


async def test_tenants_who_ask_together_are_answered_each_for_itself(
    db: Database, tenant: Tenant, other_tenant: Tenant, visit: UUID
) -> None:
    """One round trip for all, and in it every answer is what its tenant would get alone, whoever else asks."""
    await tell(db, tenant, visit, "job.queued", "job.started", job_id=uuid4())
    second = await make_visit(db, tenant)
    asked = [
        events.InitialStateQuery(other_tenant.id, other_tenant.user_id, [visit], snapshot=True),
        events.InitialStateQuery(tenant.id, tenant.user_id, [second, visit], snapshot=False),
        events.InitialStateQuery(tenant.id, None, [visit], snapshot=True),
    ]
    async with db.as_system() as conn:
        together = await events.initial_states_of(conn, asked)
        alone = [
            await events.initial_states(conn, one.tenant_id, one.user_id, one.visit_ids, snapshot=one.snapshot)
            for one in asked
        ]
    assert together == alone
    assert [[(row["visible"], row["last_seq"]) for row in found] for found in together] == [
        [(False, 0)],
        [(True, 0), (True, 2)],
        [(True, 2)],
    ]
    assert [found[0]["members"] for found in together] == [[other_tenant.user_id], [tenant.user_id], None]


async def test_only_the_gateway_may_call_the_streams_functions(service: Database, db: Database, tenant: Tenant) -> None:
    """A tenant's role cannot read heads or use tickets by itself."""
    for statement in (
        "SELECT * FROM scopekit.use_ticket('\\x00', gen_random_uuid(), true)",
        "SELECT * FROM scopekit.stream_heads('{}')",
        "SELECT * FROM scopekit.events_after(gen_random_uuid(), 0, 1)",
        "SELECT * FROM scopekit.stream_snapshot(gen_random_uuid())",
        "SELECT * FROM scopekit.open_streams(gen_random_uuid(), NULL, '{}', true)",
        "SELECT * FROM scopekit.non_members('{}', '{}', '{}')",
        "SELECT scopekit.advance_epoch(gen_random_uuid(), 1)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.as_user(tenant.claims) as conn:
                await conn.execute(statement)


async def test_a_visits_heads_say_whether_its_tenant_may_watch(db: Database, admin: Connection, tenant: Tenant) -> None:
    """`enabled` is the flag, exactly true; a visit that does not exist has no head."""
    visit = await make_visit(db, tenant)
    async with db.as_system() as conn:
        before = await events.heads(conn, [visit, uuid4()])
        await admin.execute("UPDATE tenant_settings SET feature_flags = '{}' WHERE tenant_id = $1", tenant.id)
        after = await events.heads(conn, [visit])
    assert [(row["visit_id"], row["last_seq"], row["enabled"]) for row in before] == [(visit, 0, True)]
    assert [row["enabled"] for row in after] == [False]
