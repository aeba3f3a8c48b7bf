"""Analytics through the outbox: owed with the work itself, delivered until taken, once in effect."""

import asyncio
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jobs.kinds.deliveries import LONGEST_WAIT_SECONDS, Answer, OutboxDispatcher, judged, wait_s
from store.queue import outbox
from tests.jobs.conftest import DEADLINE_SECONDS, Bench
from tests.support.proxy import proxy_to
from tests.support.web import serve_in_thread

ROUNDS = 200


@dataclass
class Receiver:
    """Takes events and knows one that comes again by its key; `answers` are (status, whether it took effect)."""

    url: str = ""
    posts: list[str] = field(default_factory=list)
    effects: dict[str, Any] = field(default_factory=dict)
    keys: set[str | None] = field(default_factory=set)
    answers: list[tuple[int, bool]] = field(default_factory=list)
    held: threading.Event | None = None
    arrived: threading.Event = field(default_factory=threading.Event)

    async def take(self, request: Request) -> Response:
        """Answer as told, else yes."""
        key = request.headers["idempotency-key"]
        status, effective = self.answers.pop(0) if self.answers else (202, True)
        self.posts.append(key)
        self.keys.add(request.headers.get("authorization"))
        if effective:
            self.effects.setdefault(key, await request.json())
        self.arrived.set()
        if self.held is not None:
            await asyncio.to_thread(self.held.wait, DEADLINE_SECONDS)
        return Response(status_code=status, headers={"retry-after": "0"})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Serve a receiver."""
    kept = Receiver()
    with serve_in_thread(Starlette(routes=[Route("/take", kept.take, methods=["POST"])])) as url:
        kept.url = f"{url}/take"
        yield kept


@pytest.fixture(autouse=True)
async def nothing_owed(bench: Bench) -> None:
    """Start with an empty outbox: other suites' events are nobody's business here."""
    await bench.admin.execute("DELETE FROM analytics_outbox")


async def _happen(bench: Bench, count: int) -> set[str]:
    rows = await bench.admin.fetch(
        "INSERT INTO analytics_events (event, properties, tenant_id) "
        "SELECT 'estimate_generated', jsonb_build_object('n', n), $2 FROM generate_series(1, $1) AS n RETURNING id",
        count,
        bench.tenant.id,
    )
    return {str(row["id"]) for row in rows}


async def _owed(bench: Bench) -> int:
    owed: int = await bench.admin.fetchval("SELECT count(*) FROM analytics_outbox WHERE refused_at IS NULL")
    return owed


async def _due(bench: Bench) -> None:
    await bench.admin.execute("UPDATE analytics_outbox SET due_at = now()")


async def _deliver(bench: Bench, dispatcher: OutboxDispatcher) -> None:
    """Let one round go, whatever waits for its time."""
    await _due(bench)
    async with dispatcher.open_client() as client:
        await dispatcher.deliver(client)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_event_takes_effect_once_whatever_happens_on_the_way(
    bench: Bench, receiver: Receiver, seed: int
) -> None:
    """Errors before and after the effect, lost ways, a full house: nothing is lost, and the id makes twice once."""
    chance = random.Random(seed)
    faults = [(500, False), (500, True), (503, True), (429, False), (401, False), (302, False)]
    receiver.answers = [chance.choice([*faults, (202, True), (200, True)]) for _ in range(40)]
    wanted = await _happen(bench, 12)
    async with proxy_to(receiver.url) as way:
        dispatcher = OutboxDispatcher(bench.service, way.url)
        async with dispatcher.open_client() as client:
            for number in range(ROUNDS):
                if not await _owed(bench):
                    break
                way.cut() if number % 5 == 3 else way.mend()
                await _due(bench)
                await dispatcher.deliver(client)
    assert await _owed(bench) == 0
    assert set(receiver.effects) == wanted
    assert {body["id"] for body in receiver.effects.values()} == wanted
    assert len(receiver.posts) > len(wanted)  # some came again


async def test_a_crash_between_delivery_and_note_delivers_again_under_the_same_id(
    bench: Bench, receiver: Receiver
) -> None:
    """A dispatcher dies while the receiver has it already; after the lease another brings it, and it is known."""
    (event,) = await _happen(bench, 1)
    receiver.held = threading.Event()
    dying = asyncio.create_task(_deliver(bench, OutboxDispatcher(bench.service, receiver.url)))
    assert await asyncio.to_thread(receiver.arrived.wait, DEADLINE_SECONDS)
    dying.cancel()
    await asyncio.wait({dying})
    receiver.held.set()
    assert await _owed(bench) == 1
    async with OutboxDispatcher(bench.service, receiver.url).open_client() as client:
        await OutboxDispatcher(bench.service, receiver.url).deliver(client)  # the lease holds: nobody's turn yet
    assert receiver.posts == [event]
    await _deliver(bench, OutboxDispatcher(bench.service, receiver.url))
    assert (receiver.posts, set(receiver.effects)) == ([event, event], {event})
    assert await _owed(bench) == 0


async def test_what_is_refused_stands_in_nobodys_way(bench: Bench, receiver: Receiver) -> None:
    """422 is about the event: kept for a person, never sent again, counted by the alert; the next one goes out."""
    receiver.answers = [(422, False)]
    await _happen(bench, 2)
    dispatcher = OutboxDispatcher(bench.service, receiver.url)
    await _deliver(bench, dispatcher)
    await _deliver(bench, dispatcher)
    assert (len(receiver.posts), len(receiver.effects)) == (2, 1)
    refused = await bench.admin.fetch("SELECT last_error FROM analytics_outbox WHERE refused_at IS NOT NULL")
    assert [row["last_error"] for row in refused] == ["HTTP 422"]
    assert await bench.admin.fetchval("SELECT check_analytics_outbox()") == 1


async def test_a_receiver_that_is_away_is_not_asked_for_each_event(bench: Bench, receiver: Receiver) -> None:
    """After the first refusal of the moment the round is over; what was not tried is as it was."""
    receiver.answers = [(503, False)]
    await _happen(bench, 5)
    await _deliver(bench, OutboxDispatcher(bench.service, receiver.url))
    assert len(receiver.posts) == 1
    tried = await bench.admin.fetch("SELECT attempts, due_at <= now() AS due FROM analytics_outbox ORDER BY attempts")
    assert [(row["attempts"], row["due"]) for row in tried] == [(0, True)] * 4 + [(1, False)]


async def test_two_couriers_share_the_work(bench: Bench, receiver: Receiver) -> None:
    """An event is with one of them at a time."""
    wanted = await _happen(bench, 40)
    couriers = [OutboxDispatcher(bench.service, receiver.url) for _ in range(2)]
    await _due(bench)
    async with couriers[0].open_client() as one, couriers[1].open_client() as two:
        await asyncio.gather(couriers[0].deliver(one), couriers[1].deliver(two))
        await couriers[0].deliver(one)
    assert sorted(receiver.posts) == sorted(wanted)


async def test_it_is_owed_with_the_work_or_not_at_all(bench: Bench) -> None:
    """What is rolled back is owed to nobody."""
    block = bench.admin.transaction()
    await block.start()
    await _happen(bench, 3)
    assert await _owed(bench) == 3
    await block.rollback()
    assert await _owed(bench) == 0


async def test_the_key_goes_along_and_nowhere_else(bench: Bench, receiver: Receiver) -> None:
    """ANALYTICS_KEY is the receiver's Bearer token."""
    await _happen(bench, 1)
    await _deliver(bench, OutboxDispatcher(bench.service, receiver.url, SecretStr("the-receivers-key")))
    assert receiver.keys == {"Bearer the-receivers-key"}


async def test_old_debts_are_forgotten_where_nobody_collects(bench: Bench) -> None:
    """Without a receiver the events stay in their table, and the outbox does not grow for ever."""
    (old,) = await _happen(bench, 1)
    await bench.admin.execute(
        "UPDATE analytics_events SET timestamp = now() - interval '40 days' WHERE id = $1", UUID(old)
    )
    await _happen(bench, 1)
    async with bench.service.as_system() as conn:
        await outbox.forget(conn, timedelta(days=30))
    assert await _owed(bench) == 1


@pytest.mark.parametrize(
    ("status", "retry_after", "answer"),
    [
        (200, None, Answer()),
        (204, "5", Answer()),
        (422, "5", Answer("HTTP 422", final=True, retry_after_s=5.0)),
        (429, "30", Answer("HTTP 429", retry_after_s=30.0)),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT", Answer("HTTP 503")),
        (401, None, Answer("HTTP 401")),
        (302, None, Answer("HTTP 302")),
    ],
)
def test_an_answer_is_about_the_event_or_about_the_moment(status: int, retry_after: str | None, answer: Answer) -> None:
    """Only what says that the event itself is wrong is final."""
    assert judged(status, retry_after) == answer


def test_the_wait_doubles_up_to_a_quarter_of_an_hour() -> None:
    """With jitter around it; never before the receiver's own time, and that is capped too."""
    waits = [wait_s(attempts, Answer("away")) for attempts in (1, 4, 60)]
    for wait, base in zip(waits, (1, 8, LONGEST_WAIT_SECONDS), strict=True):
        assert 0.7 * base <= wait <= 1.3 * base
    assert wait_s(1, Answer("busy", retry_after_s=120.0)) >= 120
    assert wait_s(1, Answer("busy", retry_after_s=1e9)) <= 1.3 * LONGEST_WAIT_SECONDS
