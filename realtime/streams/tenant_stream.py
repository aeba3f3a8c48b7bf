"""All visits of one tenant on one stream: for whoever runs the place, not for whoever waits for one visit."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from realtime.channels.subscriber import Sink, Subscriber
from realtime.protocol.events import Event
from realtime.streams.multi_subscription import Bundle, Leg

if TYPE_CHECKING:
    from realtime.streams.tenant_watcher import Lookout

# Of so many visits the stream knows where it stands; one that has been silent longest makes room, and comes back with
# its next event.
MOST_VISITS = 200


class Unnumbered(Event):
    """An event whose message has no id: there is no place in a whole tenant's events that a client could resume at."""

    __slots__ = ()

    @property
    def mark(self) -> None:
        """Nothing."""
        return


class Wide(Bundle):
    """Gets a leg for each visit that becomes active while it is open. See `realtime.streams.tenant_watcher`.

    `sighted` holds the visits that did so before it went live, each with the seq before its first event.
    """

    __slots__ = ("_legs_of", "_lookout", "sighted", "sink")

    def __init__(self, lookout: "Lookout") -> None:
        super().__init__(())
        self.sighted: dict[str, int] = {}
        self.sink: Sink | None = None
        self._legs_of: OrderedDict[str, Leg] = OrderedDict()
        self._lookout = lookout

    @property
    def cursor(self) -> None:
        """Nothing: see `Unnumbered`."""
        return

    def has(self, visit_id: str) -> bool:
        """Whether there is a leg in this visit's channel."""
        return visit_id in self._legs_of

    def add(self, leg: Leg) -> None:
        """Add a leg; the visits that were silent longest and have nothing under way make room."""
        self.legs.append(leg)
        self._legs_of[leg.channel.visit_id] = leg
        for visit_id, other in list(self._legs_of.items()):
            if len(self._legs_of) <= MOST_VISITS:
                return
            if other.is_level:
                del self._legs_of[visit_id]
                self.legs.remove(other)
                other.lost()

    def mark(self, leg: Leg, events: Sequence[Event]) -> list[Event]:
        """Move a leg on over these events."""
        leg.position = events[-1].seq
        if self.has(leg.channel.visit_id):
            self._legs_of.move_to_end(leg.channel.visit_id)
        return [Unnumbered(event.visit_id, event.seq, event.type, event.job_id, event.document) for event in events]

    def begin(self, sink: Sink) -> None:
        """Go live."""
        super().begin(sink)
        self.sink = sink
        self._lookout.went_live(self)

    def leave(self, subscriber: Subscriber) -> None:
        """Give the stream no more events."""
        super().leave(subscriber)
        self._lookout.discard(self)
