"""Several visits on one stream: each keeps its own order, and every event's id says where all of them stand."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from realtime.channels.channel import Channel, Member
from realtime.channels.channels import Channels
from realtime.channels.sink import Sink
from realtime.channels.subscriber import Subscriber
from realtime.protocol import wire
from realtime.protocol.events import Event
from realtime.protocol.wire import Chunk

_CURSOR = re.compile(r"([0-9a-f]{8}):([0-9]{1,19}(?:\.[0-9]{1,19})*)")


@dataclass(frozen=True, slots=True)
class EventWithCursor(Event):
    """An event with the cursor that stands for it and for all before it, of every visit."""

    cursor: bytes | None = field(kw_only=True)

    @property
    def sse_id(self) -> bytes | None:
        """The id of its message."""
        return self.cursor


class VisitSubscription(Subscriber):
    """The place of a stream of several visits in one visit's channel.

    The end of this visit's job is news on the stream, not its end.
    """

    __slots__ = ("multi", "position")

    def __init__(self, channel: Channel, multi: "MultiSubscription", on_end: Callable[[Subscriber], None]) -> None:
        whole = multi.subscriber
        super().__init__(
            channel,
            tenant_id=whole.tenant_id,
            user_id=whole.user_id,
            expires_at=whole.expires_at,
            on_end=on_end,
        )
        self.multi = multi
        self.position = 0

    @property
    def is_caught_up(self) -> bool:
        """Whether there is nothing that it has not been given."""
        return self.channel.is_caught_up(self)

    def go_live(self, _sink: Sink) -> None:
        """Nothing: the whole stream has begun to write."""

    def give(self, _chunk: Chunk, events: list[Event]) -> None:
        """Pass events on under the cursor of the whole stream."""
        marked = self.multi.advance(self, events)
        self.multi.subscriber.give(Chunk(wire.frames(marked)), marked)

    def over(self, _farewell: bytes) -> None:
        """Nothing: more may happen to the other visits, and to this one."""

    def end(self, farewell: bytes) -> None:
        """End the whole stream."""
        self.multi.subscriber.end(farewell)

    def abort(self) -> None:
        """Drop the whole stream."""
        self.multi.subscriber.abort()


class MultiSubscription(Channel):
    """Stands where a channel stands for the one stream of several visits; the events come by its subscriptions."""

    __slots__ = ("_name", "subscriber", "subscriptions")

    def __init__(self, visit_ids: Sequence[str]) -> None:
        super().__init__("")  # of no visit
        self._name = _name_of(visit_ids)
        self.subscriber: Subscriber
        self.subscriptions: list[VisitSubscription] = []

    @property
    def cursor(self) -> bytes | None:
        """Where the stream stands: `NAME:SEQ.SEQ...`, of the list of visits and of each in the order of their ids."""
        return f"{self._name}:{'.'.join(str(subscription.position) for subscription in self.subscriptions)}".encode()

    def add(self, subscription: VisitSubscription) -> None:
        """Take a subscription."""
        self.subscriptions.append(subscription)

    def advance(self, subscription: VisitSubscription, events: Sequence[Event]) -> list[Event]:
        """Move a subscription on over these events, each of which gets the cursor that follows it."""
        marked: list[Event] = []
        for event in events:
            subscription.position = event.seq
            marked.append(
                EventWithCursor(event.visit_id, event.seq, event.type, event.job_id, event.document, cursor=self.cursor)
            )
        return marked

    def behind(self) -> list[VisitSubscription]:
        """Return the subscriptions for which there are events to read before the stream may go live."""
        return [
            subscription
            for subscription in self.subscriptions
            if subscription.channel.after(subscription.position) != []
        ]

    def begin(self, sink: Sink) -> None:
        """Go live with every subscription, none of which is behind.

        Nothing may be awaited between finding that out and this.
        """
        self.subscriber.go_live(sink)
        for subscription in self.subscriptions:
            if not self.subscriber.ending:
                subscription.channel.join(subscription, sink, subscription.position)

    def leave(self, subscriber: Member) -> None:
        """Give the stream no more events."""
        super().leave(subscriber)
        for subscription in self.subscriptions:
            subscription.lost()


def subscribe_visit(
    channels: Channels, channel: Channel, multi: MultiSubscription, position: int = 0
) -> VisitSubscription:
    """Give a stream of several visits a place in a channel, at a position that it has reached."""
    subscription = VisitSubscription(channel, multi, channels.leave)
    subscription.position = position
    channel.members.add(subscription)
    multi.add(subscription)
    return subscription


def positions_of(cursor: str, visit_ids: Sequence[str]) -> list[int] | None:
    """Read a cursor; None when it is of another list of visits. Raises `ValueError` when it is no cursor at all."""
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise ValueError(cursor[:80])
    positions = [int(text) for text in found[2].split(".")]
    return positions if found[1] == _name_of(visit_ids) and len(positions) == len(visit_ids) else None


def _name_of(visit_ids: Sequence[str]) -> str:
    return hashlib.sha256(",".join(visit_ids).encode()).hexdigest()[:8]
