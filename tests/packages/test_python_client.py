"""`scopekit-progress`: an async iterator of events, over cuts, refusals, tickets and ended tokens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import UUID

import asyncpg
import httpx
import pytest

from gateway.progress import responses
from realtime.streams.stream_limits import Limits
from scopekit_progress import Refused, SnapshotEvent, StreamEnded, VisitEvent, follow, ticket_for
from store.pool import Database
from tests.realtime.client.strict_source import SECONDS
from tests.realtime.client.tab import cut_streams
from tests.realtime.conftest import bus, gateway, settings, visit, writer
from tests.realtime.stream_gateway import StreamGateway, tell
from tests.tenants import Tenant

__all__ = ["bus", "gateway", "settings", "visit", "writer"]

Events = AsyncIterator[SnapshotEvent | VisitEvent]


@pytest.fixture(autouse=True)
def quick_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have clients come back after a tenth of a second."""
    monkeypatch.setattr("realtime.hub.Hub.retry_ms", lambda _hub, _base=0: 100)
    monkeypatch.setattr(responses, "_BUSY_MS", 100)


async def seqs_of(events: Events) -> list[int]:
    """Read to the end, and return the seq of each event after the snapshot."""
    async with asyncio.timeout(SECONDS):
        return [event["seq"] async for event in events if event["type"] != "snapshot"]


async def opened(gateway: StreamGateway, count: int) -> None:
    """Wait until so many streams have been opened."""
    async with asyncio.timeout(SECONDS):
        while gateway.hub.stats()["opened"] < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def drive(gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID) -> None:
    """Tell seven events over three connections, of which two are cut."""
    for number in (1, 2):
        await opened(gateway, number)
        await tell(db, tenant, visit, *["step.progress"] * 2)
        cut_streams(gateway)
        await tell(db, tenant, visit, "step.started")
    await opened(gateway, 3)
    await tell(db, tenant, visit, "job.completed")


async def test_it_misses_nothing_over_cuts(gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID) -> None:
    """By token: each event once and in order, and the iteration ends with the job."""
    reading = asyncio.create_task(seqs_of(follow(gateway.url, str(visit), token=tenant.token())))
    await drive(gateway, db, tenant, visit)
    assert await reading == list(range(1, 8))


async def test_a_ticket_lasts_over_cuts(gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID) -> None:
    """By ticket the same, without the token."""
    address = await ticket_for(gateway.url, str(visit), tenant.token())
    reading = asyncio.create_task(seqs_of(follow(ticket_url=address)))
    await drive(gateway, db, tenant, visit)
    assert await reading == list(range(1, 8))


async def test_it_goes_on_after_an_event_that_was_seen(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """`last_id` resumes without a snapshot; after the end there is nothing more."""
    await tell(db, tenant, visit, "step.progress", "step.started", "job.failed")
    async with httpx.AsyncClient() as client:
        found = [
            event async for event in follow(gateway.url, str(visit), token=tenant.token(), last_id=1, client=client)
        ]
        assert [(event["seq"], event["type"]) for event in found] == [(2, "step.started"), (3, "job.failed")]
        assert [event async for event in follow(gateway.url, str(visit), token=tenant.token(), last_id=3)] == []


async def test_events_are_typed(gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID) -> None:
    """What a type has stands in its class: this test is checked by mypy."""
    async with aclosing(follow(gateway.url, str(visit), token=tenant.token())) as events:
        async for event in events:
            if event["type"] == "snapshot":
                assert event["payload"]["steps"] == {}
                await tell(db, tenant, visit, "step.progress")
            elif event["type"] == "step.progress":
                assert event["payload"]["done"] <= event["payload"]["total"]
                break


async def test_busy_is_waited_for(gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID) -> None:
    """It comes back until there is room."""
    gateway.hub.admission._limiter._limits = Limits(per_user=0)
    reading = asyncio.create_task(seqs_of(follow(gateway.url, str(visit), token=tenant.token())))
    async with asyncio.timeout(SECONDS):
        while gateway.hub.admission.refusals["user"] < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    gateway.hub.admission._limiter._limits = Limits()
    await opened(gateway, 1)
    await tell(db, tenant, visit, "job.cancelled")
    assert await reading == [1]


async def test_an_ended_token_is_renewed(gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID) -> None:
    """A function is asked for a new one; a plain token ends the stream as `expired`."""
    lives = iter([2, 3600])

    async def token() -> str:
        return tenant.token(seconds=next(lives))

    reading = asyncio.create_task(seqs_of(follow(gateway.url, str(visit), token=token)))
    with pytest.raises(StreamEnded, match="expired"):
        await seqs_of(follow(gateway.url, str(visit), token=tenant.token(seconds=2)))
    await opened(gateway, 3)
    await tell(db, tenant, visit, "job.completed")
    assert await reading == [1]


async def test_a_removed_member_is_told(
    gateway: StreamGateway, admin: asyncpg.Connection, tenant: Tenant, visit: UUID
) -> None:
    """`revoked` raises, and so does the 403 of the next one who asks."""
    reading = asyncio.create_task(seqs_of(follow(gateway.url, str(visit), token=tenant.token())))
    await opened(gateway, 1)
    await admin.execute("DELETE FROM memberships WHERE user_id = $1", tenant.user_id)
    with pytest.raises(StreamEnded, match="revoked"):
        await reading
    with pytest.raises(Refused, match="403"):
        await seqs_of(follow(gateway.url, str(visit), token=tenant.token()))
    with pytest.raises(Refused, match="403"):
        await ticket_for(gateway.url, str(visit), tenant.token())
