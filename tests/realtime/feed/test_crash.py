"""A crash of the database takes back what was committed without waiting for its flush; the relay had told it already.

Invariant: a number is given once. Whoever has seen seq N of a visit is given, after it, every event that is inserted
later; and whoever has seen events that do not exist any more is given a snapshot of what does.
"""

import asyncio
import math
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TypeAlias
from unittest.mock import Mock, call
from uuid import UUID

import asyncpg
import pytest

from devstack.stack import Stack
from realtime.channels.channel import Channel
from realtime.feed.catchup import CatchUp
from realtime.feed.history import History
from realtime.hub import Hub
from realtime.protocol.epoch import EPOCH_GAP, is_contiguous, lost_in_crash
from realtime.protocol.events import Event
from store.pool import Database
from tests.realtime.feed.test_in_sets import IN_ONE, ONE_BY_ONE
from tests.realtime.feed.watcher import eventually, is_open, path, watch
from tests.realtime.stream_gateway import BOTH, StreamGateway, make_visit, tell
from tests.stack import Services, make_services, make_template
from tests.tenants import Tenant

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

INSERT = "INSERT INTO processing_events (visit_id, type) VALUES ($1, 'step.progress') RETURNING seq"
HEADS = """
SELECT last_seq, epoch_gaps FROM unnest($1::uuid[]) WITH ORDINALITY AS v(id, place) JOIN visit_streams ON visit_id = id
ORDER BY place
"""
WAL_WRITER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
CRASH_SECONDS = 30.0


@pytest.fixture(scope="module")
def stack_of_ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Keep a stack that may be broken, and is durable, so that what must survive does."""
    stack = Stack(tmp_path_factory.mktemp("stack"), durable=True)
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def services(stack_of_ours: Stack) -> Services:
    """Take the place of the suite's services."""
    endpoints = stack_of_ours.start()
    asyncio.run(make_template(endpoints))
    return asyncio.run(make_services(endpoints, "crash"))


async def insert(services: Services, visit: UUID, count: int, *, waits: bool = True) -> list[int]:
    """Insert events, each in a transaction of its own that waits for its flush or does not; returns their numbers."""
    connection = await asyncpg.connect(services.admin_url)
    try:
        await connection.execute(f"SET synchronous_commit = {'on' if waits else 'off'}")
        return [await connection.fetchval(INSERT, visit) for _ in range(count)]
    finally:
        connection.terminate()


async def freeze(services: Services) -> int:
    """Stop the process that flushes what nobody waits for; returns its id."""
    connection = await asyncpg.connect(services.admin_url)
    pid: int = await connection.fetchval(WAL_WRITER)
    os.kill(pid, signal.SIGSTOP)
    connection.terminate()
    return pid


async def crash(services: Services, pid: int) -> None:
    """Kill a process of the server with -9, and wait until it has thrown everybody out and recovered."""
    connection = await asyncpg.connect(services.admin_url)
    os.kill(pid, signal.SIGKILL)
    await eventually(connection.is_closed)
    async with asyncio.timeout(CRASH_SECONDS):
        while True:
            with suppress(OSError, asyncpg.PostgresError):
                return (await asyncpg.connect(services.admin_url)).terminate()
            await asyncio.sleep(0.02)


async def lose(services: Services, counts: Mapping[UUID, int]) -> dict[UUID, list[int]]:
    """Insert so many events of each visit, which a crash then takes back; returns their numbers."""
    pid = await freeze(services)
    told = {visit: await insert(services, visit, count, waits=False) for visit, count in counts.items()}
    await crash(services, pid)
    return told


async def kept(services: Services, visit: UUID) -> list[int]:
    """Return the numbers that the table has."""
    connection = await asyncpg.connect(services.admin_url)
    try:
        rows = await connection.fetch("SELECT seq FROM processing_events WHERE visit_id = $1 ORDER BY seq", visit)
    finally:
        connection.terminate()
    return [row["seq"] for row in rows]


async def test_a_number_is_given_once_over_crashes(services: Services, db: Database, tenant: Tenant) -> None:
    """Twice in a row events are lost, once all that a visit had: nothing after them has a number of theirs."""
    old, new = await make_visit(db, tenant), await make_visit(db, tenant)
    assert await insert(services, old, 2) == [1, 2]
    assert await lose(services, {old: 3, new: 2}) == {old: [3, 4, 5], new: [1, 2]}
    assert (await kept(services, old), await kept(services, new)) == ([1, 2], [])
    assert await insert(services, new, 2) == [EPOCH_GAP + 1, EPOCH_GAP + 2]
    assert await insert(services, old, 1) == [EPOCH_GAP + 3]
    assert await lose(services, {old: 2}) == {old: [EPOCH_GAP + 4, EPOCH_GAP + 5]}
    assert await insert(services, old, 2) == [2 * EPOCH_GAP + 4, 2 * EPOCH_GAP + 5]


async def test_many_at_once_are_numbered_over_a_crash_as_one_by_one(
    services: Services, db: Database, tenant: Tenant
) -> None:
    """Streams that lost events, kept all, had none yet, and one that is new: torn alike, numbered alike."""
    found = []
    for statement in (IN_ONE, ONE_BY_ONE):
        lost, whole, silent = [await make_visit(db, tenant) for _ in range(3)]
        await insert(services, lost, 1)
        await insert(services, whole, 2)
        await lose(services, {lost: 2})
        await insert(services, await make_visit(db, tenant), 1)  # which finds out about the crash
        visits = [lost, whole, silent, await make_visit(db, tenant)]
        connection = await asyncpg.connect(services.admin_url)
        await connection.execute(statement, visits, tenant.id, "job.queued")
        found.append(await connection.fetch(HEADS, visits))
        numbers = [await kept(services, visit) for visit in visits]
        assert [last[-1] for last in numbers] == [head["last_seq"] for head in found[-1]]
        await connection.close()
    assert found[0] == found[1]
    assert [head["last_seq"] for head in found[0]] == [EPOCH_GAP + 2, EPOCH_GAP + 3, EPOCH_GAP + 1, 1]


async def test_a_visit_made_after_a_crash_begins_with_one(services: Services, db: Database, tenant: Tenant) -> None:
    """Nobody can have seen anything of it."""
    await lose(services, {await make_visit(db, tenant): 1})
    await insert(services, await make_visit(db, tenant), 1)  # which finds out about the crash
    assert await insert(services, await make_visit(db, tenant), 2) == [1, 2]


async def test_the_first_word_after_a_leap_waits_for_its_flush(
    services: Services, db: Database, tenant: Tenant
) -> None:
    """Were the leap itself lost in the next crash, the numbers after it would be given a second time."""
    visit = await make_visit(db, tenant)
    await lose(services, {visit: 1})
    pid = await freeze(services)
    [leapt] = await insert(services, visit, 1, waits=False)
    lost = await insert(services, visit, 1, waits=False)
    await crash(services, pid)
    assert await kept(services, visit) == [leapt]
    assert (await insert(services, visit, 1))[0] > lost[0]


async def test_a_server_that_was_stopped_in_good_order_goes_on_counting(
    stack_of_ours: Stack, services: Services, db: Database, tenant: Tenant
) -> None:
    """A restart loses nothing, and no number leaps."""
    visit = await make_visit(db, tenant)
    [before] = await insert(services, visit, 1, waits=False)
    stack_of_ours.stop()
    stack_of_ours.start()
    assert await insert(services, visit, 1) == [before + 1]


@BOTH
@pytest.mark.parametrize("seen", [2, 4], ids=["what survived", "what was lost"])
async def test_a_client_that_was_away_misses_nothing(
    gateway: StreamGateway, services: Services, db: Database, tenant: Tenant, seen: int
) -> None:
    """The table has long passed what it saw: it resumes where that still is, and has a snapshot where it is not."""
    visit = await make_visit(db, tenant)
    await insert(services, visit, 2)
    assert await lose(services, {visit: 2}) == {visit: [3, 4]}
    await insert(services, visit, 5)
    await eventually(lambda: gateway.hub.stats()["live"])
    after = list(range(EPOCH_GAP + 3, EPOCH_GAP + 8))
    async with watch(gateway.url, path(visit), headers=tenant.headers, last_id=seen) as watcher:
        await watcher.until_seq(after[-1])
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(after[-1] + 1)
    resumes = seen == 2
    assert watcher.named("hello")[0].json == {"last_seq": after[-1], "recovered": resumes}
    assert watcher.seqs == [*(after if resumes else []), after[-1] + 1]


@BOTH
async def test_a_client_that_stayed_misses_nothing(
    gateway: StreamGateway, services: Services, db: Database, tenant: Tenant
) -> None:
    """Two streams are open over the crash, one of a visit that lost events: it begins again, the other goes on."""
    torn, whole = await make_visit(db, tenant), await make_visit(db, tenant)
    async with (
        watch(gateway.url, path(torn), headers=tenant.headers) as loser,
        watch(gateway.url, path(whole), headers=tenant.headers) as other,
    ):
        for watcher, visit in ((loser, torn), (other, whole)):
            await watcher.until(is_open)
            await insert(services, visit, 2)
            await watcher.until_seq(2)
        pid = await freeze(services)
        lost = await insert(services, torn, 2, waits=False)
        await loser.until_seq(lost[-1])
        await crash(services, pid)
        await insert(services, torn, 4)
        await insert(services, whole, 2)
        await loser.until_closed()
        await other.until_seq(EPOCH_GAP + 4)
    assert other.seqs == [1, 2, EPOCH_GAP + 3, EPOCH_GAP + 4]
    assert len(other.named("hello")) == 1
    assert loser.seqs == [1, 2, 3, 4]
    async with watch(gateway.url, path(torn), headers=tenant.headers, last_id=lost[-1]) as again:
        await again.until(is_open)
        await tell(db, tenant, torn, "a.b")
        await again.until_seq(EPOCH_GAP + 7)
    assert (again.named("hello")[0].json["recovered"], again.seqs) == (False, [EPOCH_GAP + 7])


@pytest.fixture
async def twice_torn(services: Services, db: Database, tenant: Tenant) -> UUID:
    """A visit of which two crashes took back 2, 3 and LEAP + 3, LEAP + 4; its table has 1, LEAP + 2 and 2 LEAP + 3."""
    visit = await make_visit(db, tenant)
    await insert(services, visit, 1)
    await lose(services, {visit: 2})
    await insert(services, visit, 1)
    await lose(services, {visit: 2})
    await insert(services, visit, 1)
    assert await kept(services, visit) == [1, EPOCH_GAP + 2, 2 * EPOCH_GAP + 3]
    return visit


async def test_a_client_that_was_away_over_two_crashes_misses_nothing(
    twice_torn: UUID, gateway: StreamGateway, tenant: Tenant
) -> None:
    """Whichever of them took back what it saw, it has a snapshot; where its last event still is, it resumes there."""
    await eventually(lambda: gateway.hub.stats()["live"])
    together = f"/v1/progress?visit_id={twice_torn}"
    async with watch(gateway.url, together, headers=tenant.headers) as first:
        await first.until(lambda watcher: any(message.id for message in watcher.stream.messages))
    name = first.stream.messages[-1].id.partition(":")[0]
    recovered = {}
    for seen in (1, 2, 3, EPOCH_GAP + 2, EPOCH_GAP + 3, EPOCH_GAP + 4, 2 * EPOCH_GAP + 3):
        async with (
            watch(gateway.url, path(twice_torn), headers=tenant.headers, last_id=seen) as alone,
            watch(gateway.url, together, headers=tenant.headers, last_id=f"{name}:{seen}") as leg,
        ):
            await alone.until(is_open)
            await leg.until(is_open)
        recovered[seen] = [watcher.named("hello")[0].json["recovered"] for watcher in (alone, leg)]
    whole = (1, EPOCH_GAP + 2, 2 * EPOCH_GAP + 3)
    assert recovered == {seen: [seen in whole] * 2 for seen in recovered}


@pytest.mark.parametrize(("seen", "given"), [(1, [EPOCH_GAP + 2, 2 * EPOCH_GAP + 3]), (2, []), (EPOCH_GAP + 3, [])])
async def test_a_tear_found_while_reading_up_ends_the_stream_before_it_is_led_on(
    services: Services, db: Database, twice_torn: UUID, seen: int, given: list[int]
) -> None:
    """The crash may come between a stream's opening and its next page: who saw what was lost is given nothing more."""
    hub = Hub(services.settings(), db)
    subscriber = hub.admission.subscribe(str(twice_torn), "t", "u", expires_at=math.inf)
    assert subscriber is not None
    subscriber.channel.initialize(2 * EPOCH_GAP + 3, None, ())
    found = await hub.catch_up.page(subscriber.channel, seen)
    assert ([event.seq for event in found], subscriber.ending) == (given, not given)


@pytest.mark.parametrize(("seen", "begins_again"), [(2, False), (3, True), (4, True)])
async def test_live_word_that_comes_before_the_look_finds_the_tear(
    services: Services, db: Database, tenant: Tenant, seen: int, begins_again: bool
) -> None:
    """The first thing heard may be what came after the crash: who saw what was lost begins again, and is not led on."""
    visit = await make_visit(db, tenant)
    await insert(services, visit, 2)
    assert await lose(services, {visit: 2}) == {visit: [3, 4]}
    await insert(services, visit, 1)
    relay = Mock()
    channel = Channel(str(visit))
    channel.members.add(Mock())
    channel.initialize(seen, None, ())
    channel.expect(EPOCH_GAP + 3)
    catch_up = CatchUp(relay, History(db))
    catch_up.fill_gap(channel)
    await eventually(lambda: relay.mock_calls)
    await catch_up.close()
    assert relay.mock_calls == [call.rewind(channel) if begins_again else call.flush_soon(channel)]
    assert channel.head == (seen if begins_again else EPOCH_GAP + 3)


async def test_a_stream_ahead_of_its_channel_is_not_led_over_a_tear(
    services: Services, db: Database, tenant: Tenant
) -> None:
    """The channel stands at what survived; one of its streams had read on, and all begin again."""
    visit = await make_visit(db, tenant)
    await insert(services, visit, 2)
    await lose(services, {visit: 2})
    await insert(services, visit, 1)
    hub = Hub(services.settings(), db)
    subscriber = hub.admission.subscribe(str(visit), "t", "u", expires_at=math.inf)
    assert subscriber is not None
    channel = subscriber.channel
    channel.initialize(2, None, ())
    hub.join(subscriber, Mock(), 4)
    channel.expect(EPOCH_GAP + 3)
    hub.catch_up.fill_gap(channel)
    await eventually(lambda: not channel.filling_gap)
    assert (subscriber.ended, channel.head, hub.channels) == (True, 2, {})


async def test_beginning_again_leaves_the_channel_that_took_its_place(services: Services, db: Database) -> None:
    """A channel that was rewound may be found torn once more; the streams that came since are not its own."""
    hub = Hub(services.settings(), db)
    old = hub.channels.open("v")
    hub.rewind(old)
    new = hub.channels.open("v")
    hub.rewind(old)
    assert hub.channels == {"v": new}


def test_what_was_lost_in_a_crash_lies_between_the_epochs_end_and_the_gap() -> None:
    """The last survivor is real, and so is the first after the leap."""
    assert [lost_in_crash(seq, [3, 7 + EPOCH_GAP]) for seq in (3, 4, 2 + EPOCH_GAP)] == [False, True, True]
    assert [lost_in_crash(seq, [3, 7 + EPOCH_GAP]) for seq in (7 + EPOCH_GAP, 8 + EPOCH_GAP, 8 + 2 * EPOCH_GAP)] == [
        False,
        True,
        False,
    ]
    assert lost_in_crash(8, []) is False


def test_rows_are_unbroken_when_no_number_is_missing() -> None:
    """Neither before the first of them, nor between two."""

    def rows(*seqs: int) -> list[Event]:
        return [Event("v", seq, "a.b", None, b"{}") for seq in seqs]

    assert [is_contiguous(2, rows(*seqs)) for seqs in ((), (3, 4), (4, 5), (3, 5))] == [True, True, False, False]
