"""A crash of the database takes back what was committed without waiting for its flush; the relay had told it already.

Invariant: a number is given once. Whoever has seen seq N of a visit is given, after it, every event that is inserted
later; and whoever has seen events that do not exist any more is given a snapshot of what does.
"""

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TypeAlias
from unittest.mock import Mock, call
from uuid import UUID

import asyncpg
import pytest

from realtime.catchup import CatchUp
from realtime.channel import Channel
from realtime.history import History
from realtime.tear import LEAP, leaps, told_in_vain
from store.embedded.stack import Stack
from store.pool import Database
from tests.realtime.house import House, make_visit, tell
from tests.realtime.watcher import eventually, is_open, path, watch
from tests.stack import Services, make_services, make_template
from tests.tenants import Tenant

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

INSERT = "INSERT INTO processing_events (visit_id, type) VALUES ($1, 'step.progress') RETURNING seq"
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
    assert await insert(services, new, 2) == [LEAP + 1, LEAP + 2]
    assert await insert(services, old, 1) == [LEAP + 3]
    assert await lose(services, {old: 2}) == {old: [LEAP + 4, LEAP + 5]}
    assert await insert(services, old, 2) == [2 * LEAP + 4, 2 * LEAP + 5]


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


@pytest.mark.parametrize("seen", [2, 4], ids=["what survived", "what was lost"])
async def test_a_client_that_was_away_misses_nothing(
    house: House, services: Services, db: Database, tenant: Tenant, seen: int
) -> None:
    """The table has long passed what it saw: it resumes where that still is, and has a snapshot where it is not."""
    visit = await make_visit(db, tenant)
    await insert(services, visit, 2)
    assert await lose(services, {visit: 2}) == {visit: [3, 4]}
    await insert(services, visit, 5)
    await eventually(lambda: house.hub.stats()["live"])
    after = list(range(LEAP + 3, LEAP + 8))
    async with watch(house.url, path(visit), headers=tenant.headers, last_id=seen) as watcher:
        await watcher.until_seq(after[-1])
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(after[-1] + 1)
    resumes = seen == 2
    assert watcher.named("open")[0].json == {"last_seq": after[-1], "recovered": resumes}
    assert watcher.seqs == [*(after if resumes else []), after[-1] + 1]


async def test_a_client_that_stayed_misses_nothing(
    house: House, services: Services, db: Database, tenant: Tenant
) -> None:
    """Two streams are open over the crash, one of a visit that lost events: it begins again, the other goes on."""
    torn, whole = await make_visit(db, tenant), await make_visit(db, tenant)
    async with (
        watch(house.url, path(torn), headers=tenant.headers) as loser,
        watch(house.url, path(whole), headers=tenant.headers) as other,
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
        await other.until_seq(LEAP + 4)
    assert other.seqs == [1, 2, LEAP + 3, LEAP + 4]
    assert len(other.named("open")) == 1
    assert loser.seqs == [1, 2, 3, 4]
    async with watch(house.url, path(torn), headers=tenant.headers, last_id=lost[-1]) as again:
        await again.until(is_open)
        await tell(db, tenant, torn, "a.b")
        await again.until_seq(LEAP + 7)
    assert (again.named("open")[0].json["recovered"], again.seqs) == (False, [LEAP + 7])


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
    channel.establish(seen, None, None)
    channel.hear_of(LEAP + 3)
    catch_up = CatchUp(relay, History(db))
    catch_up.heal(channel)
    await eventually(lambda: relay.mock_calls)
    await catch_up.close()
    assert relay.mock_calls == [call.rewind(channel) if begins_again else call.flush_soon(channel)]
    assert channel.head == (seen if begins_again else LEAP + 3)


def test_what_was_told_in_vain_lies_between_the_tear_and_the_leap() -> None:
    """The last survivor is real, and so is the first after the leap."""
    assert [told_in_vain(seq, 7) for seq in (7, 8, 7 + LEAP, 8 + LEAP)] == [False, True, True, False]
    assert told_in_vain(8, None) is False
    assert [leaps(7, seq) for seq in (8, 7 + LEAP, 8 + LEAP)] == [False, False, True]
