"""All visits of a tenant on one stream."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import httpx
import pytest

from config.settings import Settings
from realtime.streams import tenant_subscription
from realtime.streams.stream_limits import Limits
from store.pool import Database
from tests.realtime.feed.test_faults import terminate_listener
from tests.realtime.feed.watcher import Watcher, eventually, is_open, path, watch
from tests.realtime.stream_gateway import BOTH, StreamGateway, another_database, make_visit, open_gateway, tell
from tests.stack import Services
from tests.tenants import Tenant, make_member

if TYPE_CHECKING:
    import asyncpg

ALL = "/v1/tenant/progress"


@pytest.fixture(params=["connection", "asgi"])
def writer(request: pytest.FixtureRequest) -> str:
    """Hold for both writers."""
    name: str = request.param
    return name


def seen(watcher: Watcher) -> dict[str, list[int]]:
    """Return the seqs that came of each visit, in the order they came."""
    found: dict[str, list[int]] = defaultdict(list)
    for event in watcher.events:
        found[event.json["visit_id"]].append(event.json["seq"])
    return dict(found)


def has(events: int) -> Callable[[Watcher], bool]:
    """Make the condition that so many events have come."""
    return lambda watcher: len(watcher.events) >= events


@BOTH
async def test_every_event_of_every_visit_comes_once_and_no_foreign_one(
    gateway: StreamGateway, db: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    """Of visits that were there before, that come later, and that somebody watches alone; each from where it stood."""
    old, watched = await make_visit(db, tenant), await make_visit(db, tenant)
    foreign = await make_visit(db, other_tenant)
    await tell(db, tenant, old, "a.b", "a.b", "a.b")
    async with (
        watch(gateway.url, path(watched), headers=tenant.headers) as beside,
        watch(gateway.url, ALL, headers=tenant.headers) as watcher,
    ):
        await beside.until(is_open)
        await watcher.until(is_open)
        new = await make_visit(db, tenant)
        for _ in range(10):
            for visit, owner in ((old, tenant), (watched, tenant), (new, tenant), (foreign, other_tenant)):
                await tell(db, owner, visit, "a.b")
        await tell(db, tenant, new, "job.completed", job_id=uuid4())
        await tell(db, tenant, new, "a.b", payload={"text": "x" * 100_000})
        await watcher.until(has(32))
        await beside.until_seq(10)
    assert seen(watcher) == {
        str(old): list(range(4, 14)),
        str(watched): list(range(1, 11)),
        str(new): list(range(1, 13)),
    }
    assert {event.id for event in watcher.events} == {""}
    assert beside.seqs == list(range(1, 11))
    await eventually(lambda: gateway.hub.stats()["streams"] == 0)
    await eventually(lambda: not gateway.hub.channels)  # what was still being asked about is let go with the answer
    assert not gateway.hub._tenant_watcher.is_active


@BOTH
async def test_writers_that_go_on_while_it_opens_lose_nothing_to_it(
    gateway: StreamGateway, db: Database, tenant: Tenant
) -> None:
    """Six visits are written to all the time while five streams open: each has an unbroken run of each visit."""
    visits = [await make_visit(db, tenant) for _ in range(6)]
    enough = asyncio.Event()

    async def write(visit: UUID) -> int:
        last = 0
        while not enough.is_set():
            last = await tell(db, tenant, visit, "a.b")
        return last

    writing = [asyncio.create_task(write(visit)) for visit in visits]
    async with AsyncExitStack() as opened:
        watchers = [await opened.enter_async_context(watch(gateway.url, ALL, headers=tenant.headers)) for _ in range(5)]
        for watcher in watchers:
            await watcher.until(has(60))
        enough.set()
        last = {str(visit): seq for visit, seq in zip(visits, await asyncio.gather(*writing), strict=True)}
        for watcher in watchers:
            await watcher.until(lambda w: {visit: seqs[-1] for visit, seqs in seen(w).items()} == last)
    for watcher in watchers:
        assert all(seqs == list(range(seqs[0], last[visit] + 1)) for visit, seqs in seen(watcher).items())


async def test_it_begins_with_the_visits_at_work(
    gateway: StreamGateway, db: Database, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """A snapshot of each visit whose job waits or runs, and nothing of those at rest."""
    busy, _idle = await make_visit(db, tenant), await make_visit(db, tenant)
    await admin.execute(
        "INSERT INTO ai_jobs (tenant_id, visit_id, job_type, run_at) "
        "VALUES ($1, $2, 'estimate', now() + interval '1 day')",
        tenant.id,
        busy,
    )
    await tell(db, tenant, busy, "a.b", "a.b")
    try:
        async with watch(gateway.url, ALL, headers=tenant.headers) as watcher:
            await watcher.until(lambda w: len(w.stream.messages) == 2)
            await tell(db, tenant, busy, "a.b")
            await watcher.until(has(1))
    finally:
        await admin.execute("DELETE FROM ai_jobs WHERE tenant_id = $1", tenant.id)
    opened, snapshot, event = watcher.stream.messages
    assert opened.json == {"last_seq": {str(busy): 3}, "recovered": False}  # the first is `job.queued`
    assert (snapshot.json["type"], snapshot.json["seq"], snapshot.id) == ("snapshot", 3, "")
    assert event.json["seq"] == 4


async def test_the_visits_it_remembers_are_bounded(
    gateway: StreamGateway, db: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was silent longest makes room, and is there again with its next event."""
    monkeypatch.setattr(tenant_subscription, "MOST_VISITS", 2)
    visits = [await make_visit(db, tenant) for _ in range(4)]
    async with watch(gateway.url, ALL, headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        for turn in range(3):
            for number, visit in enumerate(visits, 1):
                await tell(db, tenant, visit, "a.b")
                await watcher.until(has(turn * 4 + number))
        assert len(gateway.hub.channels) <= 2
    assert seen(watcher) == {str(visit): [1, 2, 3] for visit in visits}


@BOTH
async def test_it_begins_again_when_the_listener_was_away(
    gateway: StreamGateway, db: Database, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """What nobody heard of cannot be told: the stream ends with a retry, and opens with how things stand."""
    async with watch(gateway.url, ALL, headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        await terminate_listener(admin)
        await watcher.until_closed()
    assert (watcher.broken, len(watcher.stream.retries)) == (False, 2)


async def test_it_is_for_owners_and_admins_who_are_members(
    gateway: StreamGateway, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """A stranger 401, a member 403, somebody removed 403, a tenant without streams 404; nothing stays admitted."""

    async def status(token: str | None) -> int:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=10) as client:
            headers = {"authorization": f"Bearer {token}"} if token else {}
            return (await client.get(ALL, headers=headers)).status_code

    member = await make_member(admin, tenant)
    assert await status(None) == 401
    assert await status(tenant.token(seconds=-1)) == 401
    assert await status(member.token()) == 403
    assert await status(tenant.token(sub=str(uuid4()))) == 403
    await admin.execute("UPDATE tenant_settings SET feature_flags = '{}' WHERE tenant_id = $1", tenant.id)
    assert await status(tenant.token()) == 404
    assert gateway.hub.stats()["streams"] == 0


@pytest.mark.parametrize("reason", ["expired", "revoked", "demoted", "flag", "drain"])
async def test_it_is_taken_away_like_any_stream(
    gateway: StreamGateway, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant, reason: str
) -> None:
    """Token, membership, flag and drain end it; what the flag is now, its client finds out by coming back."""
    headers = {"authorization": f"Bearer {tenant.token(seconds=5)}"} if reason == "expired" else tenant.headers
    async with watch(gateway.url, ALL, headers=headers) as watcher:
        await watcher.until(is_open)
        if reason == "revoked":
            await admin.execute("DELETE FROM memberships WHERE user_id = $1", tenant.user_id)
        elif reason == "demoted":
            await admin.execute("UPDATE memberships SET role = 'member' WHERE user_id = $1", tenant.user_id)
        elif reason == "flag":
            await admin.execute("UPDATE tenant_settings SET feature_flags = '{}' WHERE tenant_id = $1", tenant.id)
        elif reason == "drain":
            await gateway.hub.drain(0.1)
        await watcher.until_closed()
    said = [message.json.get("reason", message.event) for message in watcher.stream.messages[1:]]
    assert said == ({"flag": ["drain"], "demoted": ["revoked"]}.get(reason) or [reason])


async def test_it_counts_as_one_stream_and_is_refused_softly(settings: Settings, writer: str, tenant: Tenant) -> None:
    """Over the limit it is told `busy`."""
    async with (
        open_gateway(settings, writer=writer, limits=Limits(per_user=0)) as gateway,
        watch(gateway.url, ALL, headers=tenant.headers) as refused,
    ):
        await refused.until_closed()
    assert [message.json for message in refused.named("end")] == [{"reason": "busy"}]


async def test_while_notify_does_not_arrive_it_is_refused_softly(
    settings: Settings, services: Services, writer: str, tenant: Tenant
) -> None:
    """Which visits become active cannot be heard of; it comes back until it can."""
    deaf = await another_database(services)
    async with (
        open_gateway(settings.model_copy(update={"database_listen_url": deaf}), writer=writer) as gateway,
        watch(gateway.url, ALL, headers=tenant.headers) as refused,
    ):
        await refused.until_closed()
    assert [message.json for message in refused.named("end")] == [{"reason": "busy"}]
