"""Several visits on one stream."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import httpx
import pytest

from config.settings import Settings
from realtime.streams.multi_subscription import positions_of
from realtime.streams.stream_limits import Limits
from store.pool import Database
from tests.realtime.feed.watcher import Watcher, eventually, is_open, watch
from tests.realtime.stream_gateway import StreamGateway, make_visit, open_gateway, tell
from tests.tenants import Tenant

if TYPE_CHECKING:
    import asyncpg


@pytest.fixture(params=["connection", "asgi"])
def writer(request: pytest.FixtureRequest) -> str:
    """Hold for both writers."""
    name: str = request.param
    return name


@pytest.fixture
async def visits(db: Database, tenant: Tenant) -> list[UUID]:
    """Open three visits, in the order of their ids."""
    return sorted([await make_visit(db, tenant) for _ in range(3)])


def address(visits: list[UUID]) -> str:
    """Return where these visits stream together."""
    return "/v1/progress?" + "&".join(f"visit_id={visit}" for visit in visits)


def seen(watcher: Watcher, visit: UUID) -> list[int]:
    """Return the seqs that came of one visit, in the order they came."""
    return [event.json["seq"] for event in watcher.events if event.json["visit_id"] == str(visit)]


def has(events: int) -> Callable[[Watcher], bool]:
    """Make the condition that so many events have come."""
    return lambda watcher: len(watcher.events) >= events


async def test_the_events_of_all_visits_come_on_one_stream(
    gateway: StreamGateway, db: Database, tenant: Tenant, visits: list[UUID]
) -> None:
    """Live events of three visits come each once and in order; a job's end is news and ends nothing."""
    async with watch(gateway.url, address(visits), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        assert gateway.hub.stats()["streams"] == 1
        for _ in range(4):
            for visit in visits:
                await tell(db, tenant, visit, "a.b")
        await tell(db, tenant, visits[0], "job.completed", job_id=uuid4())
        await tell(db, tenant, visits[0], "a.b")
        await watcher.until(lambda w: len(w.events) == 14)
    assert [seen(watcher, visit) for visit in visits] == [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4], [1, 2, 3, 4]]
    assert not watcher.named("end")
    await eventually(lambda: gateway.hub.channels == {})
    assert (gateway.hub.stats()["streams"], gateway.hub.admission._limiter._open, gateway.hub._wheel.all()) == (
        0,
        {},
        [],
    )


async def test_it_begins_with_a_snapshot_of_each_of_which_the_last_has_an_id(
    gateway: StreamGateway, db: Database, tenant: Tenant, visits: list[UUID]
) -> None:
    """`open` says where each stands; a client cut off among the snapshots has no id and begins again."""
    await tell(db, tenant, visits[1], "a.b", "a.b")
    async with watch(gateway.url, address(visits[::-1]), headers=tenant.headers) as watcher:
        await watcher.until(lambda w: len(w.stream.messages) == 4)
    opened, *snapshots = watcher.stream.messages
    assert opened.json == {
        "last_seq": {str(visit): seq for visit, seq in zip(visits, (0, 2, 0), strict=True)},
        "recovered": False,
    }
    assert [message.json["type"] for message in snapshots] == ["snapshot"] * 3
    assert [message.id for message in snapshots[:2]] == ["", ""]
    assert positions_of(snapshots[2].id, [str(visit) for visit in visits]) == [0, 2, 0]


async def test_every_id_resumes_every_visit(
    gateway: StreamGateway, db: Database, tenant: Tenant, visits: list[UUID]
) -> None:
    """From whichever event the client saw last, exactly the events that had not come before it come after it."""
    for turn in range(6):
        await tell(db, tenant, visits[turn % 3], "a.b", "a.b")
    from_the_start = watch(gateway.url, address(visits), headers=tenant.headers)
    async with from_the_start as first:
        await first.until(is_open)
        start = (await _snapshot_id(first)).split(":")[0] + ":0.0.0"
    async with watch(gateway.url, address(visits), headers=tenant.headers, last_id=start) as whole:
        await whole.until(lambda w: len(w.events) == 12)
    everything = {(event.json["visit_id"], event.json["seq"]) for event in whole.events}
    for number, last in enumerate(whole.events[:-1]):
        before = [(event.json["visit_id"], event.json["seq"]) for event in whole.events[: number + 1]]
        missing = 12 - len(before)
        async with watch(gateway.url, address(visits[::-1]), headers=tenant.headers, last_id=last.id) as resumed:
            await resumed.until(has(missing))
        after = [(event.json["visit_id"], event.json["seq"]) for event in resumed.events]
        assert (len(after), set(after) | set(before), set(after) & set(before)) == (missing, everything, set())
        assert resumed.named("hello")[0].json["recovered"] is True


async def _snapshot_id(watcher: Watcher) -> str:
    await watcher.until(lambda w: w.stream.last_event_id)
    return watcher.stream.last_event_id


async def test_resuming_while_writers_go_on_loses_and_doubles_nothing(
    gateway: StreamGateway,
    db: Database,
    admin: "asyncpg.Connection[asyncpg.Record]",
    tenant: Tenant,
    visits: list[UUID],
) -> None:
    """A client cut off five times among six hundred events of three visits has each of them once and in order."""
    many = "INSERT INTO processing_events (visit_id, type) SELECT $1, 'a.b' FROM generate_series(1, 10)"

    async def write() -> None:
        for _ in range(20):
            for visit in visits:
                await admin.execute(many, visit)

    writing: asyncio.Task[None] | None = None
    last_id: str | None = None
    got: dict[UUID, list[int]] = {visit: [] for visit in visits}
    for part in (1, 100, 200, 300, 400, 600):
        async with watch(gateway.url, address(visits), headers=tenant.headers, last_id=last_id) as watcher:
            last_id = await _snapshot_id(watcher) if last_id is None else last_id
            writing = writing or asyncio.create_task(write())
            so_far = sum(map(len, got.values()))
            await watcher.until(has(part - so_far))
            for visit in visits:
                got[visit] += seen(watcher, visit)
            last_id = watcher.stream.last_event_id or last_id
    assert writing is not None
    await writing
    assert got == {visit: list(range(1, 201)) for visit in visits}


async def test_a_cursor_of_other_visits_or_from_the_future_starts_afresh(
    gateway: StreamGateway, db: Database, tenant: Tenant, visits: list[UUID]
) -> None:
    """Neither silence nor a refusal, which would stop an EventSource for good."""
    await tell(db, tenant, visits[0], "a.b")
    async with watch(gateway.url, address(visits[:2]), headers=tenant.headers) as two:
        of_two = await _snapshot_id(two)
    ahead = of_two.split(":")[0] + ":900.0"
    for asked, last_id in ((visits, of_two), (visits[:2], ahead)):
        async with watch(gateway.url, address(asked), headers=tenant.headers, last_id=last_id) as watcher:
            await _snapshot_id(watcher)
            assert watcher.named("hello")[0].json["recovered"] is False
            assert len(watcher.stream.messages) == 1 + len(asked)


async def _get(gateway: StreamGateway, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    async with httpx.AsyncClient(base_url=gateway.url, timeout=5) as client:
        return await client.get(path, headers=headers)


async def test_the_checks_are_those_of_one_visit(
    gateway: StreamGateway,
    admin: "asyncpg.Connection[asyncpg.Record]",
    db: Database,
    tenant: Tenant,
    other_tenant: Tenant,
    visits: list[UUID],
) -> None:
    """Form before token, token before flag, flag before visit, visit before last id; nothing stays admitted."""
    foreign = await make_visit(db, other_tenant)
    assert (await _get(gateway, "/v1/progress")).status_code == 400
    assert (await _get(gateway, address([uuid4() for _ in range(51)]))).status_code == 400
    assert (await _get(gateway, address(visits) + "&visit_id=x")).status_code == 400
    assert (await _get(gateway, address(visits))).status_code == 401
    answer = await _get(gateway, address([*visits, foreign]) + "&last_event_id=bad", tenant.headers)
    assert (answer.status_code, answer.json()["detail"]) == (404, "There is no such visit among them.")
    for bad in ("7", "0123abcd:", "0123abcd:1.x", "0123abcd:1.2.3.", "é"):
        answer = await _get(gateway, f"{address(visits)}&last_event_id={bad}", tenant.headers)
        assert (answer.status_code, answer.json()["field"]) == (400, "last_event_id")
    await admin.execute("UPDATE tenant_settings SET feature_flags = '{}' WHERE tenant_id = $1", tenant.id)
    answer = await _get(gateway, address([*visits, foreign]), tenant.headers)
    assert (answer.status_code, answer.text) == (404, "SSE not enabled")
    assert (gateway.hub.stats()["streams"], gateway.hub.channels) == (0, {})


async def test_one_stream_of_many_visits_counts_as_one_and_is_refused_as_one(
    settings: Settings, writer: str, tenant: Tenant, visits: list[UUID]
) -> None:
    """The second stream of a tenant that may have one is told `busy`; heartbeats come to the first."""
    async with (
        open_gateway(settings, writer=writer, limits=Limits(per_tenant=1), heartbeat_s=0.2) as gateway,
        watch(gateway.url, address(visits), headers=tenant.headers) as first,
    ):
        await first.until(is_open)
        async with watch(gateway.url, address(visits), headers=tenant.headers) as refused:
            await refused.until_closed()
        await first.until(lambda w: len(w.stream.comments) >= 3)
    assert [message.json for message in refused.named("end")] == [{"reason": "busy"}]


@pytest.mark.parametrize("reason", ["expired", "revoked", "disabled", "drain"])
async def test_it_is_taken_away_like_any_stream(
    gateway: StreamGateway, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant, visits: list[UUID], reason: str
) -> None:
    """Token, membership, flag and drain end it, once and with a word."""
    headers = {"authorization": f"Bearer {tenant.token(seconds=5)}"} if reason == "expired" else tenant.headers
    async with watch(gateway.url, address(visits), headers=headers) as watcher:
        await watcher.until(is_open)
        if reason == "revoked":
            await admin.execute("DELETE FROM memberships WHERE user_id = $1", tenant.user_id)
        elif reason == "disabled":
            await admin.execute("UPDATE tenant_settings SET feature_flags = '{}' WHERE tenant_id = $1", tenant.id)
        elif reason == "drain":
            await gateway.hub.drain(0.1)
        await watcher.until_closed()
    said = [message.event for message in watcher.stream.messages if message.event in ("end", "drain")]
    assert said == (["drain"] if reason == "drain" else ["end"])
    assert reason == "drain" or watcher.named("end")[0].json == {"reason": reason}
    assert (watcher.broken, gateway.hub.channels) == (False, {})
