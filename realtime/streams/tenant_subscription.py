"""All visits of one tenant on one stream: for its managers, not for a client that waits for one visit."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from realtime.channels.channel import Member
from realtime.channels.sink import Sink
from realtime.protocol.events import Event
from realtime.streams.multi_subscription import MultiSubscription, VisitSubscription

# Of so many visits the stream knows where it stands; one that has been silent longest makes room, and comes back with
# its next event.
MOST_VISITS = 200


class EventWithoutId(Event):
    """An event with no id in its message: there is no place in a whole tenant's events to resume at."""

    __slots__ = ()

    @property
    def sse_id(self) -> None:
        """Nothing."""
        return


class Watcher(Protocol):
    """Brings a tenant's events to its streams: `realtime.streams.tenant_watcher`."""

    def went_live(self, stream: "TenantSubscription") -> None:
        """Bring a stream the events that came while it was opened."""

    def discard(self, stream: "TenantSubscription") -> None:
        """Stop watching for a stream."""


class TenantSubscription(MultiSubscription):
    """Gets a subscription for each visit that becomes active while it is open. See `realtime.streams.tenant_watcher`.

    `seen_before_live` holds the visits that did so before it went live, each with the seq before its first event.
    """

    __slots__ = ("_by_visit", "_watcher", "seen_before_live", "sink")

    def __init__(self, watcher: Watcher) -> None:
        super().__init__(())
        self.seen_before_live: dict[str, int] = {}
        self.sink: Sink | None = None
        self._by_visit: OrderedDict[str, VisitSubscription] = OrderedDict()
        self._watcher = watcher

    @property
    def cursor(self) -> None:
        """Nothing: see `EventWithoutId`."""
        return

    def has(self, visit_id: str) -> bool:
        """Whether there is a subscription in this visit's channel."""
        return visit_id in self._by_visit

    def add(self, subscription: VisitSubscription) -> None:
        """Add a subscription; the visits that were silent longest and have nothing under way make room."""
        self.subscriptions.append(subscription)
        self._by_visit[subscription.channel.visit_id] = subscription
        for visit_id, other in list(self._by_visit.items()):
            if len(self._by_visit) <= MOST_VISITS:
                return
            if other.is_caught_up:
                del self._by_visit[visit_id]
                self.subscriptions.remove(other)
                other.lost()

    def advance(self, subscription: VisitSubscription, events: Sequence[Event]) -> list[Event]:
        """Move a subscription on over these events."""
        subscription.position = events[-1].seq
        if self.has(subscription.channel.visit_id):
            self._by_visit.move_to_end(subscription.channel.visit_id)
        return [EventWithoutId(event.visit_id, event.seq, event.type, event.job_id, event.document) for event in events]

    def begin(self, sink: Sink) -> None:
        """Go live."""
        super().begin(sink)
        self.sink = sink
        self._watcher.went_live(self)

    def leave(self, subscriber: Member) -> None:
        """Give the stream no more events."""
        super().leave(subscriber)
        self._watcher.discard(self)
