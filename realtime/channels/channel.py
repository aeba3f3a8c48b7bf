"""One visit with subscribers: the events passed on, and to which streams. It lives as long as somebody watches."""

from collections.abc import Sequence
from typing import Protocol

from realtime.channels.sequencer import Sequencer
from realtime.channels.sink import Sink
from realtime.channels.window import Window
from realtime.protocol import wire
from realtime.protocol.epoch import lost_in_crash
from realtime.protocol.events import Event, EventRef, end_reason, ended_after


class Member(Protocol):
    """A stream as its channel sees it: `realtime.channels.subscriber`."""

    ended: bool

    def go_live(self, sink: Sink) -> None:
        """Begin to write."""

    def give(self, chunk: wire.Chunk, events: list[Event]) -> None:
        """Pass on events, of which `chunk` is the encoding that everybody shares."""

    def over(self, farewell: bytes) -> None:
        """Take note that an event has ended the visit's stream."""

    def end(self, farewell: bytes) -> None:
        """End the stream with these bytes."""

    def abort(self) -> None:
        """Drop the stream with its connection, at once."""


class Channel:
    """The stream of one visit.

    `tenant_id` is the visit's owner, once that was read and as long as that tenant is known to have streams;
    `epoch_ends` where the database lost events in crashes, see `realtime.protocol.epoch`.
    `members` are all its subscribers; of these `_live` have been given everything up to the last flush, and `_ahead`
    read further from the table than notifications have come, so they skip the events they have.
    """

    __slots__ = (
        "_ahead",
        "_fresh",
        "_live",
        "_order",
        "_window",
        "ended_by",
        "epoch_ends",
        "filling_gap",
        "members",
        "tenant_id",
        "visit_id",
    )

    def __init__(self, visit_id: str) -> None:
        self.visit_id = visit_id
        self.ended_by: str | None = None
        self.filling_gap = False
        self.tenant_id: str | None = None
        self.epoch_ends: Sequence[int] = ()
        self.members: set[Member] = set()
        self._order = Sequencer()
        self._window = Window(0)
        self._fresh: list[Event] = []
        self._live: dict[Member, None] = {}  # in the order they came, as their sockets lie in memory
        self._ahead: dict[Member, int] = {}

    @property
    def head(self) -> int | None:
        """The last seq known here without a hole; None until the table has been asked once."""
        return self._order.head

    @property
    def floor(self) -> int:
        """The seq after which every event up to `head` is in memory."""
        return self._window.start

    @property
    def kept_bytes(self) -> int:
        """How much of it is in memory."""
        return self._window.bytes

    @property
    def gap(self) -> bool:
        """Whether the table holds events that no notification has brought."""
        return self._order.gap

    @property
    def has_lost_readers(self) -> bool:
        """Whether somebody here was sent events that a crash then took back."""
        return any(map(self.position_lost, (self.head or 0, *self._ahead.values())))

    @property
    def fresh(self) -> list[Event]:
        """The events of the next flush."""
        return self._fresh

    def initialize(self, position: int, ended_by: str | None, epoch_ends: Sequence[int]) -> None:
        """Begin at a position read from the table; a second reading changes nothing."""
        if self._order.head is None:
            self.epoch_ends = epoch_ends
            self.ended_by = ended_by
            self._window = Window(position)
            self._accept(self._order.start(position))

    def receive(self, message: Event | EventRef) -> bool:
        """Take a notification; True when there is something to flush."""
        if isinstance(message, EventRef):
            self._order.expect(message.seq)
            return False
        return self._accept(self._order.receive(message))

    def expect(self, seq: int) -> None:
        """Take note that the table has reached `seq`."""
        self._order.expect(seq)

    def fill(self, rows: Sequence[Event]) -> bool:
        """Take the rows after `head`; True when there is something to flush."""
        return self._accept(self._order.fill(rows))

    def position_lost(self, position: int) -> bool:
        """Whether a crash took back events that a client at `position` has seen."""
        return lost_in_crash(position, self.epoch_ends)

    def after(self, position: int) -> list[Event] | None:
        """Return the events after `position` up to `head`, or None when memory does not reach back so far."""
        return self._window.after(position)

    def reach_back(self, position: int, rows: Sequence[Event]) -> None:
        """Keep rows read from the table after `position` for others that resume."""
        self._window.reach_back(position, rows)

    def flush(self) -> tuple[int, int]:
        """Pass on fresh events, in one piece to everybody; returns how many streams were given some, and the bytes."""
        fresh, self._fresh = self._fresh, []
        if not fresh:
            return 0, 0
        chunk = wire.Chunk(wire.frames(fresh))
        given = list(self._live)
        for subscriber in given:
            subscriber.give(chunk, fresh)
        sizes = self._flush_to_those_ahead(fresh)
        self._end_if_over()
        return len(given) + len(sizes), len(given) * len(chunk.body) + sum(sizes)

    def join(self, subscriber: Member, sink: Sink, position: int) -> None:
        """Make live a subscriber that has everything up to `position`, which reaches `head` at least.

        Nothing may be awaited between finding that out and this.
        """
        self.flush()
        subscriber.go_live(sink)
        if subscriber.ended:
            return
        if position > (self.head or 0):
            self._ahead[subscriber] = position
        else:
            self._live[subscriber] = None
            self._end_if_over()

    def is_caught_up(self, subscriber: Member) -> bool:
        """Whether a subscriber has been given all that is known to exist."""
        return subscriber in self._live and not self._fresh and not self.gap

    def leave(self, subscriber: Member) -> None:
        """Give a subscriber no more events; harmless when it gets none."""
        self._live.pop(subscriber, None)
        self._ahead.pop(subscriber, None)

    def _accept(self, events: list[Event]) -> bool:
        if not events:
            return False
        for event in events:
            self.ended_by = ended_after(self.ended_by, event)
        self._window.extend(events)
        self._fresh += events
        return True

    def _flush_to_those_ahead(self, fresh: list[Event]) -> list[int]:
        """Pass on the events each of them has not read yet; returns the bytes of every piece given."""
        sizes: list[int] = []
        reached = fresh[-1].seq
        for subscriber, position in list(self._ahead.items()):
            if reached < position:
                continue
            del self._ahead[subscriber]
            self._live[subscriber] = None
            if missing := [event for event in fresh if event.seq > position]:
                chunk = wire.Chunk(wire.frames(missing))
                subscriber.give(chunk, missing)
                sizes.append(len(chunk.body))
        return sizes

    def _end_if_over(self) -> None:
        reason = end_reason(self.ended_by)
        if reason is not None:
            farewell = wire.end(reason)
            for subscriber in list(self._live):
                subscriber.over(farewell)
