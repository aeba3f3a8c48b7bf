"""Sees which visits of a watched tenant become active, and brings their events to its tenant-wide streams.

Invariants: from the moment such a stream is admitted, every event of its tenant's visits that is notified is given to
it, each once and in the order of its visit: the first notification of a visit names the seq before which nothing is
owed, and from there on the visit's channel does its usual work. An event without notification, because the listener
was away, ends the stream; its client begins again with snapshots. Knowledge of visits is bounded, and can be asked
again.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from random import SystemRandom
from typing import Protocol

from config.logging import get_logger
from realtime.backoff import Backoff
from realtime.channels.channel import Channel
from realtime.channels.channels import Channels
from realtime.channels.sink import Sink
from realtime.feed.catchup import CatchUp
from realtime.feed.history import History
from realtime.protocol import wire
from realtime.protocol.events import Malformed, parse, visit_of
from realtime.protocol.wire import Chunk
from realtime.streams.multi_subscription import VisitSubscription, subscribe_visit
from realtime.streams.tenant_subscription import TenantSubscription
from store.errors import Unavailable
from store.pool import Record

_log = get_logger(__name__)

KNOWN_VISITS = 20_000
OTHER_TENANT = ""  # stands for every tenant that has no such stream here


class Relay(Protocol):
    """The owner of the channels: the hub."""

    @property
    def channels(self) -> Channels:
        """The visits somebody watches."""

    def join_subscription(self, subscription: VisitSubscription, sink: Sink) -> None:
        """Make a subscription live that has everything up to its position."""

    def retry_ms(self) -> int:
        """Return how long a client waits before it comes back."""


class TenantWatcher:
    """The tenant-wide streams of this process."""

    def __init__(self, relay: Relay, catch_up: CatchUp, history: History) -> None:
        self._relay = relay
        self._catch_up = catch_up
        self._history = history
        self._streams: defaultdict[str, set[TenantSubscription]] = defaultdict(set)
        self._tenant_of: OrderedDict[str, str] = OrderedDict()
        self._pending: dict[str, tuple[Channel, int]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._joining: set[asyncio.Task[None]] = set()
        self._reconnects = 0

    @property
    def is_active(self) -> bool:
        """Whether there is any such stream."""
        return bool(self._streams)

    def add(self, stream: TenantSubscription) -> None:
        """Watch a stream's tenant."""
        if stream.subscriber.tenant_id not in self._streams:
            self._tenant_of.clear()  # what was foreign to all others may be this one's
        self._streams[stream.subscriber.tenant_id].add(stream)

    def discard(self, stream: TenantSubscription) -> None:
        """Stop watching; harmless when nobody did."""
        streams = self._streams.get(stream.subscriber.tenant_id)
        if streams is not None:
            streams.discard(stream)
            if not streams:
                del self._streams[stream.subscriber.tenant_id]

    def on_notification(self, notification: str) -> None:
        """Take a notification, before its visit's channel does."""
        visit_id = visit_of(notification)
        tenant_id = self._tenant_of.get(visit_id)
        if tenant_id is not None and all(stream.has(visit_id) for stream in self._streams.get(tenant_id, ())):
            return
        try:
            before = parse(notification).seq - 1
        except Malformed:
            return
        for stream in self._not_live(tenant_id):
            stream.seen_before_live.setdefault(visit_id, before)
        self._request(visit_id, before)

    def went_live(self, stream: TenantSubscription) -> None:
        """Bring a stream the events that came while it was opened."""
        for visit_id, before in stream.seen_before_live.items():
            self._request(visit_id, before)

    def flags_changed(self, tenant_id: str) -> None:
        """Have a tenant's streams opened again, if they still may be."""
        self._dismiss(list(self._streams.get(tenant_id, ())))

    def on_reconnect(self, reconnects: int) -> None:
        """Have all streams begin again when the listener was away."""
        if reconnects != self._reconnects:
            self._reconnects = reconnects
            self._dismiss([stream for streams in self._streams.values() for stream in streams])

    async def close(self) -> None:
        """Give up the readings under way."""
        tasks = [*self._joining, *([self._asking] if self._asking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _live(self) -> list[TenantSubscription]:
        return [stream for streams in self._streams.values() for stream in streams if stream.sink is not None]

    def _not_live(self, tenant_id: str | None) -> list[TenantSubscription]:
        """Return the streams that are being opened, of this tenant or, while that is not known, of any."""
        found = self._streams.values() if tenant_id is None else [self._streams.get(tenant_id, set())]
        return [stream for streams in found for stream in streams if stream.sink is None]

    def _dismiss(self, streams: list[TenantSubscription]) -> None:
        for stream in streams:
            stream.subscriber.end(wire.drain(retry_ms=self._relay.retry_ms()))

    def _request(self, visit_id: str, before: int) -> None:
        """Have a visit's events brought from after `before`; those that come from now on are collected."""
        _, earlier = self._pending.get(visit_id, (None, before))
        self._pending[visit_id] = self._relay.channels.open(visit_id), min(before, earlier)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        try:
            await self._ask_while_pending()
        except Exception:  # noqa: BLE001 - logged whole; what was owed is made good by snapshots
            _log.exception("Active visits could not be loaded")
            self._dismiss(self._live())
        finally:
            self._asking = None

    async def _ask_while_pending(self) -> None:
        """Read the visits' owners and positions, for all that have come meanwhile at once."""
        backoff = Backoff(0.1, 2.0, SystemRandom())
        while self._pending:
            pending, self._pending = self._pending, {}
            try:
                await self._bring_all(pending)
            except Unavailable as error:
                _log.warning("Active visits cannot be read yet", reason=str(error.__cause__))
                self._pending = pending | self._pending
                await asyncio.sleep(backoff.next())
                continue
            for channel, _ in pending.values():
                self._relay.channels.release(channel)

    async def _bring_all(self, pending: Mapping[str, tuple[Channel, int]]) -> None:
        """Bring to each tenant's streams the events of its visits. Raises `Unavailable`."""
        tenants, foreign = list(self._streams), set(pending)
        for tenant_id in tenants:
            channels = [channel for channel, _ in pending.values()]
            for row in await self._history.initial_states_now(tenant_id, None, channels, snapshot=False):
                if row["visible"]:
                    visit_id = str(row["visit_id"])
                    foreign.discard(visit_id)
                    self._learn(visit_id, tenant_id)
                    self._bring(row, tenant_id, *pending[visit_id])
        if tenants == list(self._streams):
            for visit_id in foreign:
                self._learn(visit_id, OTHER_TENANT)
                for stream in self._live():
                    stream.seen_before_live.pop(visit_id, None)

    def _bring(self, row: Record, tenant_id: str, channel: Channel, before: int) -> None:
        visit_id = channel.visit_id
        owed = {stream: stream.seen_before_live.pop(visit_id, before) for stream in self._live()}
        wanted = {
            stream: position
            for stream, position in owed.items()
            if stream.subscriber.tenant_id == tenant_id and not stream.has(visit_id)
        }
        if not wanted:
            return
        if self._relay.channels.get(visit_id) is not channel:  # others came and went: what it collected is gone
            self._request(visit_id, min(wanted.values()))
            return
        self._catch_up.begin(channel, row)
        for stream, position in wanted.items():
            subscription = subscribe_visit(self._relay.channels, channel, stream, position)
            task = asyncio.create_task(self._join(stream, subscription))
            self._joining.add(task)
            task.add_done_callback(self._joining.discard)

    def _learn(self, visit_id: str, tenant_id: str) -> None:
        self._tenant_of[visit_id] = tenant_id
        if len(self._tenant_of) > KNOWN_VISITS:
            self._tenant_of.popitem(last=False)

    async def _join(self, stream: TenantSubscription, subscription: VisitSubscription) -> None:
        """Bring a subscription level with its channel, and let it go on with it."""
        try:
            while not stream.subscriber.ending and (
                events := await self._catch_up.page(subscription.channel, subscription.position)
            ):
                subscription.give(Chunk(b""), events)
        except Unavailable:
            self._dismiss([stream])
        if not subscription.ended and stream.sink is not None:
            self._relay.join_subscription(subscription, stream.sink)
