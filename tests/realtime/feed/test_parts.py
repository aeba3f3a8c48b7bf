"""The hub's small parts, each alone."""

import asyncio
import math
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import pytest

from config.cancellation import cancel_all
from realtime.backoff import Backoff
from realtime.channels.backlog import BACKLOG_BYTES, Backlog
from realtime.channels.timer_wheel import NEIGHBOURS, TimerWheel
from realtime.channels.window import Window
from realtime.protocol.events import Event, EventRef, Malformed, parse, visit_of
from realtime.streams.drain import RESTART_SECONDS, schedule
from realtime.streams.membership_cache import MOST_TENANTS, MembershipCache
from realtime.streams.stream_limits import Limits, StreamLimiter
from tests.realtime.client.eventsource import EventStream

VISIT = "0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90"


def event(seq: int, *, type_: str = "line.drafted", size: int = 200, step: str = "look") -> Event:
    """Make an event of about `size` bytes."""
    padding = "x" * size
    document = (
        f'{{"visit_id":"{VISIT}","seq":{seq},"job_id":null,"type":"{type_}",'
        f'"payload":{{"step":"{step}","pad":"{padding}"}},"created_at":null}}'
    )
    parsed = parse(document)
    assert isinstance(parsed, Event)
    return parsed


def ids(data: bytes) -> list[int]:
    """Return the ids in a piece of stream."""
    stream = EventStream()
    stream.feed(data)
    return [int(message.id) for message in stream.messages]


def test_a_notification_is_read_by_its_header_alone() -> None:
    """A payload that no parser takes is passed on: a number beyond any float, a nesting beyond any stack."""
    for payload in ('{"n": 1' + "0" * 5000 + "}", "[" * 5000 + "]" * 5000):
        text = (
            f'{{"visit_id":"{VISIT}","seq":12,"job_id":"{VISIT}","type":"a.b","payload":{payload},"created_at":null}}'
        )
        assert visit_of(text) == VISIT
        assert parse(text) == Event(VISIT, 12, "a.b", VISIT, text.encode())


def test_a_large_event_is_only_mentioned() -> None:
    """The short form names the row to read."""
    assert parse(f'{{"visit_id":"{VISIT}","seq":12}}') == EventRef(VISIT, 12)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "null", f'{{"visit_id":"{VISIT}","seq":-1}}', '{"visit_id":"x","seq":1}'),
        f'{{"visit_id":"{"-" * 36}","seq":1}}',
    ],
)
def test_what_no_trigger_sends_is_refused(text: str) -> None:
    """Anybody may NOTIFY; only our own form is read."""
    with pytest.raises(Malformed):
        parse(text)


def test_a_backlog_gives_back_what_it_was_given() -> None:
    """A slow reader that catches up in time has missed nothing."""
    backlog = Backlog()
    assert backlog.add([event(seq, size=4_000) for seq in range(1, 31)])
    taken = []
    while backlog:
        piece = backlog.take()
        assert len(piece) < 36_000
        taken += ids(piece)
    assert taken == list(range(1, 31))


def test_a_full_backlog_drops_superseded_progress_first() -> None:
    """Of each step only the newest progress stays; everything else stays whole."""
    backlog = Backlog()
    assert backlog.add([event(1)])
    for seq in range(2, 600):
        step = "look" if seq % 2 else "draft"
        assert backlog.add([event(seq, type_="step.progress", size=1_000, step=step)])
    assert backlog.add([event(600)])
    taken = []
    while backlog:
        taken += ids(backlog.take())
    assert (taken[0], taken[-3:]) == (1, [598, 599, 600])
    assert taken == sorted(taken)


def test_a_full_backlog_keeps_the_newest_progress_in_order() -> None:
    """Of one step the last, of each the place it came at: neither the oldest is kept nor is anything turned round."""
    backlog = Backlog()
    for seq in range(1, 200):
        assert backlog.add([event(seq, type_="step.progress", size=1_000, step="look")])
    for seq in range(200, 400):
        assert backlog.add([event(seq, type_="step.progress", size=1_000, step="draft")])
    taken = []
    while backlog:
        taken += ids(backlog.take())
    assert taken == sorted(taken)
    assert 199 in taken
    assert taken[-1] == 399
    assert 1 not in taken


def test_a_backlog_without_progress_to_drop_gives_up() -> None:
    """Past its limit of what cannot be left out, the reader is cut off."""
    backlog = Backlog()
    fits = [backlog.add([event(seq, size=10_000)]) for seq in range(1, 28)]
    assert fits == [True] * 14 + [False] * 13
    assert BACKLOG_BYTES == 147_456


def test_one_huge_event_is_one_piece() -> None:
    """An event larger than a piece goes out alone."""
    backlog = Backlog()
    assert backlog.add([event(1, size=100_000), event(2)])
    assert [ids(backlog.take()), ids(backlog.take())] == [[1], [2]]


def test_a_window_reaches_back_as_far_as_its_bytes() -> None:
    """What is further back is not here, and said so."""
    window = Window(10, limit=3_000)
    window.extend([event(seq, size=900) for seq in range(11, 21)])
    assert window.start > 10
    assert window.after(window.start - 1) is None
    assert [found.seq for found in window.after(window.start) or []] == list(range(window.start + 1, 21))
    assert window.after(20) == []


def test_an_empty_window_knows_its_position() -> None:
    """At its head there is nothing to give; before it the table must be asked."""
    window = Window(10)
    assert (window.after(10), window.after(9), window.after(11)) == ([], None, [])


def test_a_window_reaches_back_with_what_was_read() -> None:
    """Rows that join it are kept within its limit; rows that leave a hole, or are older than it holds, are not."""
    window = Window(10, limit=3_000)
    window.reach_back(2, [event(3), event(4)])  # ends before 10
    assert (window.start, window.after(2)) == (10, None)
    window.extend([event(11)])
    window.reach_back(7, [event(seq) for seq in (8, 10, 11)])  # 9 was deleted
    assert [found.seq for found in window.after(7) or []] == [8, 10, 11]
    window.reach_back(0, [event(seq, size=900) for seq in range(1, 8)])
    assert (window.start, window.after(4)) == (6, None)
    assert [found.seq for found in window.after(6) or []] == [7, 8, 10, 11]
    window.extend([event(seq, size=900) for seq in range(12, 30)])
    assert [found.seq for found in window.after(window.start) or []] == list(range(window.start + 1, 30))


@dataclass(eq=False)
class Stream:
    """What the wheel turns."""

    expires_at: float = math.inf
    slot: int = field(default=0)


def test_each_stream_beats_once_a_round() -> None:
    """However they came, every stream is due exactly once in a full turn, and not after it left."""
    wheel: TimerWheel[Stream] = TimerWheel(8, 0.5, now=0, random=Random(1))
    streams = [Stream() for _ in range(100)]
    for stream in streams:
        wheel.add(stream)
    wheel.discard(streams[0])
    due = [stream for _ in range(8) for stream in wheel.turn()]
    assert len(due) == 99
    assert set(due) == set(streams[1:])


def test_neighbours_beat_together_and_a_crowd_does_not() -> None:
    """Who came together shares a turn, in the order they came; no turn has much more of a storm than another."""
    wheel: TimerWheel[Stream] = TimerWheel(60, 0.5, now=0, random=Random(1))
    streams = [Stream() for _ in range(60 * 5 * NEIGHBOURS)]
    for stream in streams:
        wheel.add(stream)
    turns = [wheel.turn() for _ in range(60)]
    assert max(map(len, turns)) <= 2 * 5 * NEIGHBOURS
    blocks = {tuple(turn[first : first + NEIGHBOURS]) for turn in turns for first in range(0, len(turn), NEIGHBOURS)}
    came = [streams[first : first + NEIGHBOURS] for first in range(0, len(streams), NEIGHBOURS)]
    assert blocks == set(map(tuple, came))


def test_expiry_shows_within_a_second() -> None:
    """A stream is due after its token's end, no later than two ticks."""
    wheel: TimerWheel[Stream] = TimerWheel(8, 0.5, now=1000, random=Random(1))
    soon, later, past, left = Stream(1002.3), Stream(5000), Stream(900), Stream(1002.3)
    for stream in (soon, later, past, left):
        wheel.add(stream)
    wheel.discard(left)
    when = {}
    for tick in range(1, 20):
        for stream in wheel.expired(1000 + tick / 2):
            when[stream] = 1000 + tick / 2
    assert when == {past: 1000.5, soon: 1002.5}
    assert wheel.expired(1e9) == [later]  # the clock was set
    wheel.discard(later)
    assert wheel._expiring == {}


def test_caps_hold_and_forget() -> None:
    """A user, a tenant and the process each have their limit; a count of nothing takes no memory."""
    caps = StreamLimiter(Limits(per_user=2, per_tenant=3, per_process=4))
    taken = [
        caps.acquire(*who)
        for who in (("t", "a"), ("t", "a"), ("t", "a"), ("t", "b"), ("t", "c"), ("s", "d"), ("s", "e"))
    ]
    assert taken == [None, None, "user", None, "tenant", None, "process"]
    for who in (("t", "a"), ("t", "a"), ("t", "b"), ("s", "d")):
        caps.release(*who)
    assert (caps.total, caps._open) == (0, {})


def test_members_are_known_until_removed_doubted_or_crowded_out() -> None:
    """A tenant read anew is known as it is now; of too many tenants the one read longest ago is forgotten."""
    members = MembershipCache()
    members.put("t", ["a", "b"])
    members.remove("t", "b")
    members.remove("nobody", "b")
    assert [members.has("t", user) for user in ("a", "b")] == [True, False]
    for number in range(MOST_TENANTS - 1):
        members.put(str(number), ["x"])
    members.put("t", ["b"])
    assert [members.has("t", user) for user in ("a", "b")] == [False, True]
    members.put("one more", ["x"])
    assert (members.has("0", "x"), members.has("1", "x"), len(members._of)) == (False, True, MOST_TENANTS)
    members.clear()
    assert not members.has("t", "b")


async def test_a_task_that_lets_a_cancel_pass_is_ended_all_the_same() -> None:
    """As one does whose library had its answer at that very moment."""
    cancelled = 0

    async def go_on() -> None:
        nonlocal cancelled
        while cancelled < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1

    task = asyncio.create_task(go_on())
    await asyncio.sleep(0)
    assert not await cancel_all(task, None, again_s=0.01)
    assert (task.done(), cancelled) == (True, 3)
    deaf = asyncio.create_task(go_on())
    cancelled = 0
    await asyncio.sleep(0)
    assert await cancel_all(deaf, again_s=0.01, tries=2) == {deaf}
    assert not await cancel_all(deaf)


def test_a_retry_is_at_once_then_doubles_to_its_cap() -> None:
    """Delays grow to the cap and differ between processes."""
    backoff = Backoff(0.05, 2.0, Random(3))
    delays = [backoff.next() for _ in range(200)]
    assert delays[0] == 0
    assert all(
        0.5 * whole <= delay <= whole for delay, whole in zip(delays[1:6], (0.05, 0.1, 0.2, 0.4, 0.8), strict=True)
    )
    assert all(1.0 <= delay <= 2.0 for delay in delays[7:])
    assert len(set(delays[7:])) > 100


@pytest.mark.parametrize("window_s", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("seed", range(5))
def test_reconnects_after_a_drain_have_no_peak(window_s: float, seed: int) -> None:
    """Two hundred clients come back evenly: in no tenth of the time more than 1.5 times the mean, none together."""
    plan = schedule(200, window_s, Random(seed))
    assert all(
        0 <= at < window_s and abs(retry_ms / 1_000 - window_s - RESTART_SECONDS) <= 0.5 for at, retry_ms in plan
    )
    back = sorted(at + retry_ms / 1_000 for at, retry_ms in plan)
    span = back[-1] - back[0]
    tenths = Counter(min(int((time - back[0]) / span * 10), 9) for time in back)
    assert max(tenths.values()) <= 1.5 * 200 / 10
    assert span >= 0.9 * window_s


def test_a_drain_of_few_or_none_is_planned_too() -> None:
    """A single client's retry is jittered, and outlasts the window and a restart; without clients nothing is to do."""
    assert schedule(0, 5.0, Random(1)) == []
    retries = [schedule(1, 5.0, Random(seed))[0][1] for seed in range(50)]
    assert 9_500 <= min(retries) < 9_700
    assert 10_300 < max(retries) <= 10_500
