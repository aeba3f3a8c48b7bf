"""All open streams of this process, and the events they are owed.

Invariants, each of which a test in tests/realtime holds:

 1 The table is the truth. A notification only says that there may be something new; an event out of order is
   read from the table, and an event that the table denies does not exist. Its numbers are given once, over crashes too
   (`realtime.protocol.epoch`): a client that was sent events that a crash then took back is given a snapshot, and all
   that came after.
 2 A live subscriber has been given every event of its visit after its own starting point up to the channel's last
   flush: each once, in the order of seq. (A slow reader may miss progress that a later one has superseded.)
 3 A subscriber is admitted, and its channel collects, before the table is read for it. It goes live in the same turn
   of the loop in which it was found to have everything up to the channel's head.
 4 An event is encoded once; its bytes are shared. The events of one turn of the loop go out as one write per stream.
   No task, timer or wake-up is made for a subscriber because of an event.
 5 Nobody waits for anybody: writing never blocks. The bytes owed to a slow reader are bounded (256 KiB), and a reader
   past that, or stalled from one heartbeat to the next but one, is cut off and resumes from the table. So is one with
   a host that acknowledges nothing for a heartbeat, by the kernel.
 6 A channel exists while it has members, a member while its stream is open: nothing grows with the visits ever seen.
 7 A stream with an expired token, with an ended session, with a member removed or with too low a role by now, or with
   its flag turned off ends within a second, and opens no more.
 8 While draining nobody is admitted, and everybody is told before they are closed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any, Self

from config.logging import get_logger
from config.settings import Settings
from realtime.channels.channel import Channel, Member
from realtime.channels.channels import Channels
from realtime.channels.sink import Sink
from realtime.channels.subscriber import Subscriber
from realtime.channels.timer_wheel import TimerWheel
from realtime.event_source import open_source
from realtime.feed.catchup import CatchUp
from realtime.feed.feed import Feed
from realtime.feed.history import History, Watcher
from realtime.histogram import Histogram
from realtime.protocol import wire
from realtime.protocol.events import EndReason, EventRef, Malformed, parse, visit_of
from realtime.streams.admission import Admission
from realtime.streams.drain import schedule
from realtime.streams.initial_state import InitialStateLoader
from realtime.streams.multi_subscription import MultiSubscription, VisitSubscription
from realtime.streams.stream_limits import Limits
from realtime.streams.tenant_subscription import TenantSubscription
from realtime.streams.tenant_watcher import TenantWatcher
from store.pool import Database

_log = get_logger(__name__)

# A heartbeat is never late: the wheel comes round this much sooner, for a proxy that cuts at exactly the interval.
LEAD_SECONDS = 0.5
# Expiry must show within a second; shorter only where a test asks for a faster heart.
TICK_SECONDS = 0.5
# From milliseconds, which is the promise, to where somebody must have been woken.
BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COUNTED = ("opened", "events", "deliveries", "bytes", "replays", "replayed", "malformed")

# Who saw what a crash took back is level again within 250 ms of the listener's return, like everybody else.
REWIND_MS = 100

# After a drain's window, for readers who are still owed something.
LAST_SECONDS = 0.5


class Hub:
    """Receives notifications of events and passes them on to the streams that `admission` has let in.

    One per process; several gateways share nothing but the database. A stream is admitted, reads up to its channel page
    by page, and joins it.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        *,
        heartbeat_s: float | None = None,
        limits: Limits | None = None,
        random: Random | None = None,
    ) -> None:
        self.channels = Channels()
        self.on_flags: Callable[[str], None] = lambda _tenant_id: None
        self.on_membership: Callable[[str, str], None] = lambda _tenant_id, _user_id: None
        self.on_session: Callable[[str], None] = lambda _session_id: None
        self.heartbeat_s = heartbeat_s or settings.heartbeat_seconds
        slots, self._tick_s = _rounds(self.heartbeat_s)
        self._random = random or Random()  # noqa: S311 - jitter is no secret
        self._history = History(db)
        self._initial_states = InitialStateLoader(self._history)
        self.catch_up = CatchUp(self, self._history)
        self._feed = Feed(
            self.catch_up, partial(open_source, settings, db), on_event=self._on_event, on_control=self._on_control
        )
        self._tenant_watcher = TenantWatcher(self, self.catch_up, self._history)
        self._wheel: TimerWheel[Subscriber] = TimerWheel(slots, self._tick_s, time.time(), self._random)
        self.admission = Admission(
            self.channels,
            self._wheel,
            limits=limits or Limits(),
            initial_states=self._initial_states,
            catch_up=self.catch_up,
            feed=self._feed,
            tenant_watcher=self._tenant_watcher,
            retry_ms=self.retry_ms,
        )
        self._tick: asyncio.TimerHandle | None = None
        self._dirty: list[Channel] = []
        self._due = 0.0
        self._counts = dict.fromkeys(COUNTED, 0)
        self.latency = Histogram(BOUNDS_SECONDS)
        self.lag = Histogram(BOUNDS_SECONDS)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, db: Database, **options: Any) -> AsyncIterator[Self]:
        """Start a hub and stop it again. Raises when the database is not there."""
        hub = cls(settings, db, **options)
        await hub.start()
        try:
            yield hub
        finally:
            await hub.stop()

    @property
    def listener_generation(self) -> int | None:
        """The listening connection's number, counted from the first; None while no notification comes."""
        return self._feed.reconnects if self._feed.live else None

    async def start(self) -> None:
        """Begin to listen. Raises when the database is not there."""
        await self._feed.start()
        self._due = asyncio.get_running_loop().time()
        self._schedule_tick()

    async def stop(self) -> None:
        """Drop every stream and stop listening."""
        self.admission.draining = True
        if self._tick is not None:
            self._tick.cancel()
        for subscriber in self._wheel.all():
            subscriber.abort()
        await self._feed.stop()
        await self.catch_up.close()
        await self._tenant_watcher.close()
        await self._history.close()

    async def drain(self, window_s: float) -> None:
        """Refuse new streams and say goodbye to the open ones, spread evenly over `window_s` seconds."""
        self.admission.draining = True
        members = self._wheel.all()
        self._random.shuffle(members)
        began = time.monotonic()
        for subscriber, (at, retry_ms) in zip(members, schedule(len(members), window_s, self._random), strict=True):
            left = began + at - time.monotonic()
            if left > 0:
                await asyncio.sleep(left)
            subscriber.end(wire.drain(retry_ms=retry_ms))
        if slow := self._wheel.all():
            await asyncio.sleep(LAST_SECONDS)
        for subscriber in slow:
            subscriber.abort()

    def stats(self) -> Mapping[str, Any]:
        """Return counts since the start, and how things stand."""
        return {
            **self._counts,
            **self.admission.counts,
            "refused": sum(self.admission.refusals.values()),
            "streams": self.admission.streams,
            "channels": len(self.channels),
            "kept": sum(channel.kept_bytes for channel in self.channels.values()),
            "gaps_filled": self.catch_up.gaps_filled,
            **self._feed.stats(),
            "draining": self.admission.draining,
        }

    def replayed(self, count: int, size: int) -> None:
        """Note that a stream was given `count` events, of `size` bytes, that it had missed."""
        self._counts["replays"] += 1
        self._counts["replayed"] += count
        self._counts["bytes"] += size

    def retry_ms(self, base: int = 1_000) -> int:
        """Return how long a client waits before it comes back, jittered by half."""
        return round(base * self._random.uniform(0.5, 1.5))

    # Streams that were admitted and have read up to the channel.

    def join(self, subscriber: Subscriber, sink: Sink, position: int) -> None:
        """Make a subscriber live that has everything up to `position`."""
        self._counts["opened"] += 1
        self._pass_on(subscriber.channel)
        subscriber.channel.join(subscriber, sink, position)

    def join_all(self, multi: MultiSubscription, sink: Sink) -> None:
        """Make a stream of several visits live, none of its subscriptions behind."""
        self._counts["opened"] += 1
        for subscription in multi.subscriptions:
            self._pass_on(subscription.channel)
        multi.begin(sink)

    def join_subscription(self, subscription: VisitSubscription, sink: Sink) -> None:
        """Make a subscription live that has everything up to its position."""
        self._pass_on(subscription.channel)
        subscription.channel.join(subscription, sink, subscription.position)

    # What the feed and the catch-up call.

    def flush_soon(self, channel: Channel) -> None:
        """Pass on the fresh events after this turn of the loop, together."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._flush)
        self._dirty.append(channel)

    def disable(self, channel: Channel) -> None:
        """End a channel's streams: its tenant may not have them any more."""
        channel.tenant_id = None
        self._end(list(channel.members), "disabled")

    def watchers(self) -> list[Watcher]:
        """Return the owners of open streams, as (tenant, user, the least role that such a stream takes)."""
        return list({(s.tenant_id, s.user_id, _min_role(s)) for s in self._wheel.all()})

    def invalidate(self) -> None:
        """Trust nothing that was known without the table: a notification may have been missed."""
        self._initial_states.invalidate()
        self._tenant_watcher.on_reconnect(self._feed.reconnects)

    def restrict(self, tenant_id: str, user_id: str, role: str | None) -> None:
        """End the streams of a user that this role may not have; None for a user without membership."""
        own = [s for s in self._wheel.all() if s.user_id == user_id and s.tenant_id == tenant_id]
        if role is None:
            self._initial_states.removed(tenant_id, user_id)
            self._end(own, "revoked")
        elif role not in ("admin", "owner"):
            self._end([s for s in own if _min_role(s) == "admin"], "revoked")

    def open_sessions(self) -> list[tuple[str, str]]:
        """Return the sessions that have opened streams here, as (session, tenant)."""
        return list({(s.session_id, s.tenant_id) for s in self._wheel.all() if s.session_id is not None})

    def end_session(self, session_id: str) -> None:
        """End the streams of a session that is over, or acts for another company now."""
        self._end([s for s in self._wheel.all() if s.session_id == session_id], "revoked")

    def rewind(self, channel: Channel) -> None:
        """Close a channel's streams to begin again: the table has gone back, as after a crash or a restored backup."""
        _log.error(
            "The table is behind what was sent: a crash lost events", visit_id=channel.visit_id, head=channel.head
        )
        self.channels.close(channel)
        for subscriber in list(channel.members):
            subscriber.end(wire.drain(retry_ms=self.retry_ms(REWIND_MS)))

    def _on_event(self, notification: str) -> None:
        if self._tenant_watcher.is_active:
            self._tenant_watcher.on_notification(notification)
        channel = self.channels.get(visit_of(notification))
        if channel is None:
            return
        try:
            message = parse(notification)
        except Malformed:
            self._counts["malformed"] += 1
            _log.warning("Malformed event notification dropped", visit_id=channel.visit_id)
            return
        if channel.receive(message):
            self._counts["events"] += 1
            self.flush_soon(channel)
        elif isinstance(message, EventRef) or channel.gap:
            self.catch_up.fill_gap(channel)

    def _on_control(self, message: dict[str, Any]) -> None:
        match message:
            case {"kind": "flags", "tenant_id": tenant_id}:
                self.on_flags(tenant_id)
                self._initial_states.flags_changed()
                self._tenant_watcher.flags_changed(tenant_id)
                for channel in self.channels.values():
                    channel.tenant_id = None
                self._feed.check_table()
            case {"kind": "membership", "tenant_id": tenant_id, "user_id": user_id, "role": role}:
                self.on_membership(tenant_id, user_id)
                self.restrict(tenant_id, user_id, role)
            case {"kind": "session", "session_id": session_id, "ends": ends}:
                self.on_session(session_id)
                if ends:
                    self.end_session(session_id)
            case _:
                _log.warning("Unknown message on the control channel", kind=message.get("kind"))

    # Private.

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for channel in dirty:
            try:
                self._pass_on(channel)
            except Exception:  # noqa: BLE001 - logged whole, and made good by a resume
                # One visit's trouble must not keep the others waiting; its readers resume from the table.
                _log.exception("A visit's events could not be passed on", visit_id=channel.visit_id)
                for subscriber in list(channel.members):
                    subscriber.abort()

    def _pass_on(self, channel: Channel) -> None:
        fresh = channel.fresh
        given, size = channel.flush()
        self._counts["deliveries"] += given
        self._counts["bytes"] += size
        now = time.time()
        for event in fresh if given else ():
            self.latency.observe(max(0.0, now - event.created_at))

    def _schedule_tick(self) -> None:
        """Set the next tick by the last one's due time, so that lateness does not add up; after a standstill by now."""
        loop = asyncio.get_running_loop()
        self._due = max(self._due + self._tick_s, loop.time() - self.heartbeat_s)
        self._tick = loop.call_at(self._due, self._on_tick)

    def _on_tick(self) -> None:
        self.lag.observe(max(0.0, asyncio.get_running_loop().time() - self._due))
        self._schedule_tick()
        for subscriber in self._wheel.turn():
            subscriber.beat()
        self._end(self._wheel.expired(time.time()), "expired")

    def _end(self, subscribers: Iterable[Member], reason: EndReason) -> None:
        for subscriber in subscribers:
            subscriber.end(wire.end(reason))


def _rounds(heartbeat_s: float) -> tuple[int, float]:
    """Return the ticks of one round of the wheel and the seconds of a tick; a round is just short of `heartbeat_s`."""
    round_s = heartbeat_s - min(LEAD_SECONDS, heartbeat_s / 20)
    slots = max(4, round(round_s / TICK_SECONDS))
    return slots, round_s / slots


def _min_role(subscriber: Subscriber) -> str:
    """Return the least role that such a stream takes: all visits of a tenant at once are for its admins."""
    return "admin" if isinstance(subscriber.channel, TenantSubscription) else "viewer"
