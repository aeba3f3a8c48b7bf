"""Several visits on one stream: each keeps its own order, and every event's id says where all of them stand."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from realtime.channels.channel import Channel
from realtime.channels.subscriber import Sink, Subscriber
from realtime.protocol import wire
from realtime.protocol.events import Event
from realtime.protocol.wire import Chunk

_CURSOR = re.compile(r"([0-9a-f]{8}):([0-9]{1,19}(?:\.[0-9]{1,19})*)")


@dataclass(frozen=True, slots=True)
class Bundled(Event):
    """An event with the cursor that stands for it and for all before it, of every visit."""

    cursor: bytes | None

    @property
    def mark(self) -> bytes | None:
        """What its message has for an id."""
        return self.cursor


class Leg(Subscriber):
    """A bundle's place in one visit's channel. The end of this visit's job is news on the stream, not its end."""

    __slots__ = ("bundle", "position")

    def __init__(self, channel: Channel, bundle: "Bundle", on_end: Callable[[Subscriber], None]) -> None:
        stream = bundle.stream
        super().__init__(
            channel,
            tenant_id=stream.tenant_id,
            user_id=stream.user_id,
            expires_at=stream.expires_at,
            on_end=on_end,
        )
        self.bundle = bundle
        self.position = 0

    @property
    def is_level(self) -> bool:
        """Whether there is nothing that it has not been given."""
        return self.channel.is_level(self)

    def go_live(self, _sink: Sink) -> None:
        """Nothing: the bundle's own stream has begun to write."""

    def give(self, _chunk: Chunk, events: list[Event]) -> None:
        """Pass events on under the bundle's cursor."""
        bundled = self.bundle.mark(self, events)
        self.bundle.stream.give(Chunk(wire.frames(bundled)), bundled)

    def over(self, _farewell: bytes) -> None:
        """Nothing: more may happen to the other visits, and to this one."""

    def end(self, farewell: bytes) -> None:
        """End the whole stream."""
        self.bundle.stream.end(farewell)

    def abort(self) -> None:
        """Drop the whole stream."""
        self.bundle.stream.abort()


class Bundle(Channel):
    """Stands where a channel stands for the one stream of several visits; the events come by its legs."""

    __slots__ = ("_name", "legs", "stream")

    def __init__(self, visit_ids: Sequence[str]) -> None:
        super().__init__("")  # of no visit
        self._name = _name_of(visit_ids)
        self.stream: Subscriber
        self.legs: list[Leg] = []

    @property
    def cursor(self) -> bytes | None:
        """Where the stream stands: `NAME:SEQ.SEQ...`, of the list of visits and of each in the order of their ids."""
        return f"{self._name}:{'.'.join(str(leg.position) for leg in self.legs)}".encode()

    def add(self, leg: Leg) -> None:
        """Take a leg."""
        self.legs.append(leg)

    def mark(self, leg: Leg, events: Sequence[Event]) -> list[Event]:
        """Move a leg on over these events, each of which gets the cursor that follows it."""
        marked: list[Event] = []
        for event in events:
            leg.position = event.seq
            marked.append(
                Bundled(event.visit_id, event.seq, event.type, event.job_id, event.document, cursor=self.cursor)
            )
        return marked

    def behind(self) -> list[Leg]:
        """Return the legs for which there are events to read before the stream may go live."""
        return [leg for leg in self.legs if leg.channel.after(leg.position) != []]

    def begin(self, sink: Sink) -> None:
        """Go live with every leg, none of which is behind; nothing may be awaited between finding that out and this."""
        self.stream.go_live(sink)
        for leg in self.legs:
            if not self.stream.ending:
                leg.channel.join(leg, sink, leg.position)

    def leave(self, subscriber: Subscriber) -> None:
        """Give the stream no more events."""
        super().leave(subscriber)
        for leg in self.legs:
            leg.lost()


def positions_of(cursor: str, visit_ids: Sequence[str]) -> list[int] | None:
    """Read a cursor; None when it is of another list of visits. Raises `ValueError` when it is no cursor at all."""
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise ValueError(cursor[:80])
    positions = [int(text) for text in found[2].split(".")]
    return positions if found[1] == _name_of(visit_ids) and len(positions) == len(visit_ids) else None


def _name_of(visit_ids: Sequence[str]) -> str:
    return hashlib.sha256(",".join(visit_ids).encode()).hexdigest()[:8]
