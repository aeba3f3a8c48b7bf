"""Admission to streams: as many as the caps allow, only members by the table, and nobody while draining."""

from collections.abc import Callable, Sequence
from itertools import count

from realtime.channels.channel import Channel
from realtime.channels.channels import Channels
from realtime.channels.subscriber import Subscriber
from realtime.channels.timer_wheel import TimerWheel
from realtime.feed.catchup import CatchUp
from realtime.feed.feed import Feed
from realtime.protocol import wire
from realtime.streams.initial_state import InitialStateLoader
from realtime.streams.multi_subscription import MultiSubscription, subscribe_visit
from realtime.streams.stream_limits import REFUSALS, Limits, StreamLimiter
from realtime.streams.tenant_subscription import TenantSubscription
from realtime.streams.tenant_watcher import TenantWatcher
from store.pool import Record

# How streams ended that did not simply end, and what their readers were spared.
COUNTED = ("slow", "vanished", "superseded")
# Long enough for the 33 real streams of one user not to chase each other.
REPLACED_RETRY_MS = 30_000


class Admission:
    """Lets streams in, and out again. An admitted stream must be joined by the hub, or `abort`ed."""

    def __init__(  # noqa: PLR0913 - the parts of the hub that a stream meets on its way in
        self,
        channels: Channels,
        wheel: TimerWheel[Subscriber],
        *,
        limits: Limits,
        initial_states: InitialStateLoader,
        catch_up: CatchUp,
        feed: Feed,
        tenant_watcher: TenantWatcher,
        retry_ms: Callable[[int], int],
    ) -> None:
        self.draining = False
        self.refusals: dict[str, int] = dict.fromkeys(("draining", *REFUSALS), 0)
        self.counts = dict.fromkeys((*COUNTED, "replaced"), 0)
        self._channels = channels
        self._wheel = wheel
        self._limiter = StreamLimiter(limits)
        self._initial_states = initial_states
        self._catch_up = catch_up
        self._feed = feed
        self._tenant_watcher = tenant_watcher
        self._retry_ms = retry_ms
        self._numbers = count()

    @property
    def streams(self) -> int:
        """How many are open."""
        return self._limiter.total

    def subscribe(
        self, visit_id: str, tenant_id: str, user_id: str, *, expires_at: float, session_id: str | None = None
    ) -> Subscriber | None:
        """Admit a stream, and collect for it from now on; None when there are too many, or we are closing."""
        if self._refuses(tenant_id, user_id):
            return None
        subscriber = self._admit(self._channels.open(visit_id), tenant_id, user_id, expires_at, session_id)
        subscriber.channel.members.add(subscriber)
        return subscriber

    def subscribe_all(
        self,
        visit_ids: Sequence[str],
        tenant_id: str,
        user_id: str,
        *,
        expires_at: float,
        session_id: str | None = None,
    ) -> MultiSubscription | None:
        """Admit one stream of several visits, and collect for it from now on; as `subscribe` does."""
        if self._refuses(tenant_id, user_id):
            return None
        multi = MultiSubscription(visit_ids)
        multi.subscriber = self._admit(multi, tenant_id, user_id, expires_at, session_id)
        for visit_id in visit_ids:
            subscribe_visit(self._channels, self._channels.open(visit_id), multi)
        return multi

    def subscribe_tenant(
        self, tenant_id: str, user_id: str, *, expires_at: float, session_id: str | None = None
    ) -> TenantSubscription | None:
        """Admit one stream of all visits of a tenant, as `subscribe` does; None also while NOTIFY does not arrive."""
        if not self._feed.live or self._refuses(tenant_id, user_id):
            return None
        stream = TenantSubscription(self._tenant_watcher)
        stream.subscriber = self._admit(stream, tenant_id, user_id, expires_at, session_id)
        self._tenant_watcher.add(stream)
        return stream

    def knows(self, channel: Channel, tenant_id: str, user_id: str) -> bool:
        """Whether this user may watch, as its tenant's others do, and where the channel stands: no need to ask.

        Only while a flag turned off, or a member removed, would be notified.
        """
        return channel.tenant_id == tenant_id and channel.head is not None and self._knows_member(tenant_id, user_id)

    async def initial_states(
        self, tenant_id: str, user_id: str, channels: Sequence[Channel], *, snapshot: bool, fresh: bool = False
    ) -> list[Record] | None:
        """Return the opening state of these channels' streams, and let the channels begin there; None for others.

        See `store.events.events`. With `fresh` it is no reading that others began before. Raises `Unavailable`.
        """
        found, member = await self._initial_states.read(
            tenant_id,
            user_id,
            channels,
            snapshot=snapshot,
            known=self._knows_member(tenant_id, user_id),
            fresh=fresh,
        )
        if not member:
            return None
        for channel, row in zip(channels, found, strict=True):
            if row["enabled"] and row["visible"]:
                self._catch_up.begin(channel, row)
                channel.tenant_id = tenant_id
        return found

    def _knows_member(self, tenant_id: str, user_id: str) -> bool:
        return self._feed.live and self._initial_states.members.has(tenant_id, user_id)

    def _refuses(self, tenant_id: str, user_id: str) -> bool:
        refusal = "draining" if self.draining else self._limiter.acquire(tenant_id, user_id)
        if refusal == "user" and self._replace_oldest(user_id):
            refusal = self._limiter.acquire(tenant_id, user_id)
        if refusal is not None:
            self.refusals[refusal] += 1
        return refusal is not None

    def _replace_oldest(self, user_id: str) -> bool:
        """End the user's oldest stream; False when there is none.

        A client that vanished behind a proxy holds its stream for two heartbeats: 32 reloads would lock a user out.
        """
        oldest = min((s for s in self._wheel.all() if s.user_id == user_id), key=lambda s: s.number, default=None)
        if oldest is None:
            return False
        self.counts["replaced"] += 1
        oldest.end(wire.replaced(retry_ms=self._retry_ms(REPLACED_RETRY_MS)))
        if not oldest.ended:  # it waits for a slow reader, or is still opening
            oldest.abort()
        return True

    def _admit(
        self, channel: Channel, tenant_id: str, user_id: str, expires_at: float, session_id: str | None
    ) -> Subscriber:
        subscriber = Subscriber(
            channel,
            tenant_id=tenant_id,
            user_id=user_id,
            expires_at=expires_at,
            session_id=session_id,
            on_end=self._let_out,
        )
        subscriber.number = next(self._numbers)
        self._wheel.add(subscriber)
        return subscriber

    def _let_out(self, subscriber: Subscriber) -> None:
        self._wheel.discard(subscriber)
        self._limiter.release(subscriber.tenant_id, subscriber.user_id)
        for name in COUNTED:
            self.counts[name] += getattr(subscriber, name)
        self._channels.leave(subscriber)
