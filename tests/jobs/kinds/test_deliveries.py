"""Analytics through the outbox: owed with the work itself, delivered until taken, once in effect."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.settings import Settings
from jobs.kinds import deliveries
from jobs.kinds.deliveries import LONGEST_WAIT_SECONDS, open_deliveries, wait_s
from jobs.queue.intervals import Intervals
from jobs.worker.worker import Worker
from tests.jobs.conftest import DEADLINE_SECONDS, Bench
from tests.support.servers.proxy import proxy_to
from tests.support.servers.web import serve_in_thread

OWED = "job_type = 'analytics_delivery' AND status IN ('queued', 'running')"


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
    """Start without dead letters: other suites' events are nobody's business here."""
    await bench.admin.execute("DELETE FROM jobs_dlq WHERE lane = 'analytics_delivery'")


async def _happen(bench: Bench, count: int) -> set[str]:
    rows = await bench.admin.fetch(
        "INSERT INTO analytics_events (event, properties, tenant_id) "
        "SELECT 'estimate_generated', jsonb_build_object('n', n), $2 FROM generate_series(1, $1) AS n RETURNING id",
        count,
        bench.tenant.id,
    )
    return {str(row["id"]) for row in rows}


async def _owed(bench: Bench) -> int:
    owed: int = await bench.admin.fetchval(f"SELECT count(*) FROM jobs WHERE {OWED}")
    return owed


@asynccontextmanager
async def _delivering(bench: Bench, settings: Settings, **changes: Any) -> AsyncIterator[None]:
    """Let a worker deliver, whatever waits for its time."""
    settings = settings.model_copy(update=changes)
    async with open_deliveries(settings, bench.service) as deliver:
        worker = Worker(bench.service, {"analytics_delivery": deliver}, settings, Intervals(poll_s=(0.02, 0.04)))
        stop = asyncio.Event()
        working = asyncio.create_task(worker.run(stop))
        try:
            yield
        finally:
            stop.set()
            await working


async def _until_none_is_owed(bench: Bench, between: Callable[[int], None] = lambda _: None) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS * 2):
        for turn in count():
            if not await _owed(bench):
                return
            between(turn)
            await bench.admin.execute(f"UPDATE jobs SET run_at = now() WHERE status = 'queued' AND {OWED}")
            await asyncio.sleep(0.03)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a receiver that is away again at once."""
    monkeypatch.setattr(deliveries, "wait_s", lambda *_: 0.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_event_takes_effect_once_whatever_happens_on_the_way(
    bench: Bench, settings: Settings, receiver: Receiver, seed: int
) -> None:
    """Errors before and after the effect, lost ways, a full house: nothing is lost, and the id makes twice once."""
    chance = random.Random(seed)
    faults = [(500, False), (500, True), (503, True), (429, False), (401, False), (302, False)]
    receiver.answers = [chance.choice([*faults, (202, True), (200, True)]) for _ in range(40)]
    wanted = await _happen(bench, 12)
    async with proxy_to(receiver.url) as way, _delivering(bench, settings, analytics_url=way.url):
        await _until_none_is_owed(bench, lambda turn: way.cut() if turn % 5 == 3 else way.mend())
    assert set(receiver.effects) == wanted
    assert {body["id"] for body in receiver.effects.values()} == wanted
    assert len(receiver.posts) > len(wanted)  # some came again


async def test_a_crash_between_delivery_and_note_delivers_again_under_the_same_id(
    bench: Bench, settings: Settings, receiver: Receiver
) -> None:
    """A worker loses its lease while the receiver has the event already; another brings it, and it is known."""
    (event,) = await _happen(bench, 1)
    receiver.held = threading.Event()
    async with _delivering(bench, settings, analytics_url=receiver.url):
        assert await asyncio.to_thread(receiver.arrived.wait, DEADLINE_SECONDS)
        await bench.admin.execute(f"UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE {OWED}")
        assert (await bench.sweep())["requeued"] == 1
        receiver.held.set()
        await _until_none_is_owed(bench)
    assert (receiver.posts, set(receiver.effects)) == ([event, event], {event})


async def test_what_is_refused_stands_in_nobodys_way(bench: Bench, settings: Settings, receiver: Receiver) -> None:
    """422 is about the event: a dead letter for a person, counted by the alert; the next one goes out."""
    receiver.answers = [(422, False)]
    await _happen(bench, 2)
    async with _delivering(bench, settings, analytics_url=receiver.url):
        await _until_none_is_owed(bench)
    assert (len(receiver.posts), len(receiver.effects)) == (2, 1)
    refused = await bench.admin.fetch("SELECT last_error FROM jobs_dlq WHERE lane = 'analytics_delivery'")
    assert [row["last_error"] for row in refused] == ["HTTP 422"]
    assert await bench.admin.fetchval("SELECT check_analytics_outbox()") == 1


async def test_a_receiver_that_is_away_is_not_asked_for_each_event(
    bench: Bench, settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first refusal of the moment none is tried for a while; what was not tried has no attempt spent."""
    monkeypatch.setattr(deliveries, "wait_s", lambda *_: 60.0)
    receiver.answers = [(503, False)] * 5
    await _happen(bench, 5)
    async with _delivering(bench, settings, analytics_url=receiver.url, worker_concurrency=1):
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await bench.admin.fetchval(f"SELECT count(*) FROM jobs WHERE {OWED} AND last_error IS NULL"):  # noqa: ASYNC110
                await asyncio.sleep(0.03)
    assert len(receiver.posts) <= 2  # the two slots may have asked at the same moment
    tried = await bench.admin.fetch(f"SELECT attempts FROM jobs WHERE {OWED}")
    assert sum(row["attempts"] for row in tried) == len(receiver.posts)


async def test_it_is_owed_with_the_work_or_not_at_all(bench: Bench) -> None:
    """What is rolled back is owed to nobody."""
    block = bench.admin.transaction()
    await block.start()
    await _happen(bench, 3)
    assert await _owed(bench) == 3
    await block.rollback()
    assert await _owed(bench) == 0


async def test_the_key_goes_along_and_nowhere_else(bench: Bench, settings: Settings, receiver: Receiver) -> None:
    """ANALYTICS_KEY is the receiver's Bearer token."""
    await _happen(bench, 1)
    async with _delivering(bench, settings, analytics_url=receiver.url, analytics_key=SecretStr("the-receivers-key")):
        await _until_none_is_owed(bench)
    assert receiver.keys == {"Bearer the-receivers-key"}


async def test_without_a_receiver_nothing_piles_up(bench: Bench, settings: Settings) -> None:
    """The events stay in their table, and their jobs are done."""
    events = await _happen(bench, 3)
    async with _delivering(bench, settings, analytics_url=None):
        await _until_none_is_owed(bench)
    kept = await bench.admin.fetch("SELECT id FROM analytics_events WHERE id = ANY ($1)", list(events))
    assert len(kept) == 3


def test_the_wait_doubles_up_to_a_quarter_of_an_hour() -> None:
    """With jitter around it; never before the receiver's own time, and that is capped too."""
    waits = [wait_s(attempts, None) for attempts in (1, 4, 60)]
    for wait, base in zip(waits, (1, 8, LONGEST_WAIT_SECONDS), strict=True):
        assert 0.7 * base <= wait <= 1.3 * base
    assert wait_s(1, 120.0) >= 120
    assert wait_s(1, 1e9) <= 1.3 * LONGEST_WAIT_SECONDS
