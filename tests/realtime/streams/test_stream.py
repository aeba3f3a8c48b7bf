"""A stream from its opening to its end, over a real server."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from config.settings import Settings
from realtime.streams.stream_limits import Limits
from store.pool import Database
from tests.realtime.feed.watcher import Watcher, eventually, is_open, path, watch
from tests.realtime.stream_gateway import StreamGateway, make_visit, open_gateway, tell
from tests.support.event_contract import example_of
from tests.tenants import Tenant

SAYS = "INSERT INTO processing_events (visit_id, type, ends_stream) VALUES ($1, $2, $3)"
BESIDE = "INSERT INTO ai_jobs (visit_id, tenant_id, job_type) VALUES ($1, $2, $3)"


@pytest.fixture(params=["connection", "asgi"])
def writer(request: pytest.FixtureRequest) -> str:
    """Hold for both writers."""
    name: str = request.param
    return name


async def test_an_insert_reaches_a_subscriber(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """What is inserted while somebody watches arrives as an unnamed message whose id is the seq."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        await tell(db, tenant, visit, "media.stored")
        await watcher.until_seq(1)
    [event] = watcher.events
    assert event.id == "1"
    told = event.json
    assert told.pop("created_at").endswith("Z")
    assert told == {
        "visit_id": str(visit),
        "seq": 1,
        "job_id": None,
        "type": "media.stored",
        "payload": example_of("media.stored"),
    }


async def test_a_stream_begins_at_once_with_its_headers_and_a_heartbeat(
    gateway: StreamGateway, tenant: Tenant, visit: UUID
) -> None:
    """Nothing has happened yet, and still the client has headers, a heartbeat, a retry and where it stands."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(lambda w: len(w.stream.messages) == 2)
    headers = watcher.response.headers
    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert watcher.stream.comments == ["heartbeat"]
    assert 500 <= watcher.stream.retries[0] <= 1500
    opened, snapshot = watcher.stream.messages
    assert opened.json == {"last_seq": 0, "recovered": False}
    assert (snapshot.event, snapshot.id, snapshot.json["type"]) == ("message", "0", "snapshot")
    assert snapshot.json["payload"] == {"job": None, "steps": {}}


async def test_heartbeats_keep_coming(settings: Settings, writer: str, tenant: Tenant, db: Database) -> None:
    """A silent stream beats."""
    visit = await make_visit(db, tenant)
    async with (
        open_gateway(settings, writer=writer, heartbeat_s=0.1) as gateway,
        watch(gateway.url, path(visit), headers=tenant.headers) as watcher,
    ):
        await watcher.until(lambda w: len(w.stream.comments) >= 4)
    assert set(watcher.stream.comments) == {"heartbeat"}


async def test_only_this_visits_events_come(gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID) -> None:
    """Another visit of the same tenant is silent here."""
    other = await make_visit(db, tenant)
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        await tell(db, tenant, other, "a.b", "a.b")
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(1)
    assert [event.json["visit_id"] for event in watcher.events] == [str(visit)]


async def test_a_resumed_stream_gets_what_it_missed_then_what_happens(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """After Last-Event-ID 2 come 3 and 4 from the table and 5 live, each once; no snapshot is needed."""
    await tell(db, tenant, visit, *["a.b"] * 4)
    async with watch(gateway.url, path(visit), headers=tenant.headers, last_id=2) as watcher:
        await watcher.until_seq(4)
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(5)
    assert watcher.seqs == [3, 4, 5]
    assert watcher.named("hello")[0].json == {"last_seq": 4, "recovered": True}
    assert len(watcher.stream.messages) == 4


async def test_the_query_says_the_last_id_where_a_header_cannot(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """`?last_event_id=` resumes as the header does; the header of a reconnect is newer and wins."""
    await tell(db, tenant, visit, *["a.b"] * 4)
    async with watch(gateway.url, f"{path(visit)}?last_event_id=3", headers=tenant.headers) as watcher:
        await watcher.until_seq(4)
    assert watcher.seqs == [4]
    async with watch(gateway.url, f"{path(visit)}?last_event_id=1", headers=tenant.headers, last_id=3) as watcher:
        await watcher.until_seq(4)
    assert watcher.seqs == [4]


async def test_an_id_from_the_future_starts_afresh(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """A client ahead of the table (a restored backup) gets a snapshot instead of silence."""
    await tell(db, tenant, visit, "a.b")
    async with watch(gateway.url, path(visit), headers=tenant.headers, last_id=500) as watcher:
        await watcher.until(lambda w: len(w.stream.messages) == 2)
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(2)
    assert watcher.named("hello")[0].json["recovered"] is False
    assert watcher.seqs == [2]


async def test_a_long_history_is_replayed_in_order_while_it_grows(
    gateway: StreamGateway, db: Database, admin: asyncpg.Connection, tenant: Tenant, visit: UUID
) -> None:
    """A replay of several pages, with writers going on all the time, loses, doubles and reorders nothing."""
    many = "INSERT INTO processing_events (visit_id, type) SELECT $1, 'step.progress' FROM generate_series(1, $2)"
    await admin.execute(many, visit, 1200)
    async with watch(gateway.url, path(visit), headers=tenant.headers, last_id=0) as watcher:
        for _ in range(30):
            await admin.execute(many, visit, 10)
        await watcher.until_seq(1500)
    assert watcher.seqs == list(range(1, 1501))


@pytest.fixture
async def wide_gateway(settings: Settings, writer: str) -> AsyncIterator[StreamGateway]:
    """Run a gateway that lets one user have many streams."""
    async with open_gateway(settings, writer=writer, limits=Limits(per_user=1_000)) as opened:
        yield opened


async def test_subscribers_who_come_while_events_flow_miss_nothing(
    wide_gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """Twenty clients join during sixty inserts, some afresh, some resuming: each has all after its start."""
    gateway = wide_gateway

    async def join(delay: int) -> Watcher:
        await eventually(lambda: gateway.hub.stats()["events"] >= delay)
        last_id = delay // 2 if delay % 2 else None
        async with watch(gateway.url, path(visit), headers=tenant.headers, last_id=last_id) as watcher:
            await watcher.until_seq(60)
        return watcher

    async with watch(gateway.url, path(visit), headers=tenant.headers) as first:
        await first.until(is_open)
        joining = [asyncio.create_task(join(delay)) for delay in range(0, 50, 5)]
        joining += [asyncio.create_task(join(delay)) for delay in range(1, 50, 5)]
        await tell(db, tenant, visit, *["step.progress"] * 60)
        watchers = await asyncio.gather(*joining)
        await first.until_seq(60)
    assert first.seqs == list(range(1, 61))
    for watcher in watchers:
        opened = watcher.named("hello")[0].json
        start = opened["last_seq"] + 1 if not opened["recovered"] else watcher.seqs[0]
        assert watcher.seqs == list(range(start, 61))


async def test_a_large_event_comes_in_its_turn(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """100 KB do not fit a notification; between two small events they still arrive in order and whole."""
    text = "größe 📐\n" * 10_000
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        for payload in ({"n": 1}, {"text": text}, {"n": 3}):
            await tell(db, tenant, visit, "a.b", payload=payload)
        await watcher.until_seq(3)
    assert [event.json["payload"] for event in watcher.events] == [{"n": 1}, {"text": text}, {"n": 3}]


@pytest.mark.parametrize("reason", ["completed", "failed", "cancelled"])
async def test_the_end_of_the_job_is_the_end_of_the_stream(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, reason: str
) -> None:
    """After the job's last event come `end` and the close, and a reconnect from there gets 204 and stops."""
    job = uuid4()
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        await tell(db, tenant, visit, "job.queued", "job.started", f"job.{reason}", job_id=job)
        await watcher.until_closed()
    assert watcher.seqs == [1, 2, 3]
    assert [message.json for message in watcher.named("end")] == [{"reason": reason}]
    assert not watcher.broken
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        again = await client.get(path(visit), headers=tenant.headers | {"last-event-id": "3"})
    assert (again.status_code, again.content) == (204, b"")


async def test_a_finished_jobs_stream_tells_its_state_and_ends(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """Who comes after the end gets the snapshot, or the missed events, and then the end."""
    await tell(db, tenant, visit, "job.queued", "job.completed", job_id=uuid4())
    await tell(db, tenant, visit, "share.opened")
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until_closed()
    assert [m.event for m in watcher.stream.messages] == ["hello", "message", "end"]
    assert watcher.stream.last_event_id == "3"
    async with watch(gateway.url, path(visit), headers=tenant.headers, last_id=1) as watcher:
        await watcher.until_closed()
    assert (watcher.seqs, watcher.named("end")[0].json) == ([2, 3], {"reason": "completed"})


async def test_a_new_job_after_a_finished_one_keeps_the_stream(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """The end of an earlier job, met in a replay, ends nothing while the next one is under way."""
    await tell(db, tenant, visit, "job.queued", "job.completed", job_id=uuid4())
    await tell(db, tenant, visit, "job.queued", job_id=uuid4())
    async with watch(gateway.url, path(visit), headers=tenant.headers, last_id=0) as watcher:
        await watcher.until_seq(3)
        await tell(db, tenant, visit, "job.completed", job_id=uuid4())
        await watcher.until_closed()
    assert watcher.seqs == [1, 2, 3, 4]
    assert len(watcher.named("end")) == 1


async def test_an_event_says_itself_whether_it_ends_the_stream(
    gateway: StreamGateway, admin: asyncpg.Connection, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """Whatever its type is: a final event that says no goes by, any other that says yes is the end."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        await admin.execute(SAYS, visit, "job.completed", False)
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(2)
        await admin.execute(SAYS, visit, "a.b", True)
        await watcher.until_closed()
    assert (watcher.seqs, watcher.named("end")[0].json) == ([1, 2, 3], {"reason": "completed"})


async def test_a_background_job_neither_ends_a_stream_nor_opens_it(
    gateway: StreamGateway, db: Database, admin: asyncpg.Connection, tenant: Tenant, visit: UUID
) -> None:
    """Its events come by; the stream is the estimate's, before its end and after."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        await admin.execute(BESIDE, visit, tenant.id, "noop")
        await admin.execute(
            "SELECT scopekit.cancel_locked_jobs(ARRAY(SELECT j FROM jobs j WHERE visit_id = $1))", visit
        )
        await tell(db, tenant, visit, "job.started", "job.completed", job_id=uuid4())
        await watcher.until_closed()
    assert watcher.seqs == [1, 2, 3, 4]
    assert [message.json.get("background") for message in watcher.events] == [True, True, None, None]
    await admin.execute(BESIDE, visit, tenant.id, "noop")
    async with watch(gateway.url, path(visit), headers=tenant.headers, last_id=4) as watcher:
        await watcher.until_closed()
    assert (watcher.seqs, watcher.named("end")[0].json) == ([5], {"reason": "completed"})


async def test_a_client_that_leaves_frees_everything(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """After the last watcher of a visit nothing of it is left in the hub."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        assert list(gateway.hub.channels) == [str(visit)]
        assert gateway.hub.stats()["streams"] == 1
    await eventually(lambda: gateway.hub.stats()["streams"] == 0)
    assert (gateway.hub.channels, gateway.hub.admission._limiter._open, gateway.hub._wheel.all()) == ({}, {}, [])


async def test_one_encoding_serves_all_and_a_burst_is_one_write(
    gateway: StreamGateway, admin: asyncpg.Connection, tenant: Tenant, visit: UUID
) -> None:
    """Ten watchers of one transaction's fifty events are given them in one piece each."""
    watchers = [watch(gateway.url, path(visit), headers=tenant.headers) for _ in range(10)]
    opened = [await each.__aenter__() for each in watchers]
    for watcher in opened:
        await watcher.until(is_open)
    await admin.execute(
        "INSERT INTO processing_events (visit_id, type) SELECT $1, 'a.b' FROM generate_series(1, 50)", visit
    )
    for watcher in opened:
        await watcher.until_seq(50)
        assert watcher.seqs == list(range(1, 51))
    stats = gateway.hub.stats()
    assert stats["events"] == 50
    assert stats["deliveries"] <= 10 * 5  # pieces, of which the network may make a few
    for each in watchers:
        await each.__aexit__(None, None, None)


async def test_a_head_request_opens_no_stream(
    settings: Settings, writer: str, admin: asyncpg.Connection, tenant: Tenant, visit: UUID
) -> None:
    """HEAD gives the headers, leaves nothing behind, and takes no place: the one stream allowed goes on."""
    async with (
        open_gateway(settings, writer=writer, limits=Limits(per_user=1)) as gateway,
        watch(gateway.url, path(visit), headers=tenant.headers) as watcher,
        httpx.AsyncClient(base_url=gateway.url, headers=tenant.headers) as client,
    ):
        await watcher.until(is_open)
        for address in (path(visit), f"/v1/progress?visit_id={visit}", "/v1/tenant/progress"):
            answer = await client.head(address)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
        assert gateway.hub.stats()["streams"] == 1
        await admin.execute("INSERT INTO processing_events (visit_id, type) VALUES ($1, 'a.b')", visit)
        await watcher.until_seq(1)
        assert not watcher.named("end")
