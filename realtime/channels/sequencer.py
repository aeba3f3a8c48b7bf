"""Which events of one visit may be passed on now: each once, in order, none skipped. Values in, values out."""

from collections.abc import Sequence

from realtime.protocol.events import Event

# Events held ahead of a hole; past that they are dropped and read from the table with it.
HELD = 256


class Sequencer:
    """The order of one visit's events, from live notifications and from the table.

    A live notification (`receive`, `expect`) is trusted only for the very next seq. Anything further on shows a hole,
    and the hole is filled by rows of the table (`fill`), which is always right: a row is visible only when all before
    it are. `head` is the last seq released, or None before the first `start`.
    """

    __slots__ = ("_held", "_known", "head")

    def __init__(self) -> None:
        self.head: int | None = None
        self._known = 0
        self._held: dict[int, Event] = {}

    @property
    def gap(self) -> bool:
        """Whether events are known to exist that have not been released: read the table after `head`."""
        return self.head is not None and self._known > self.head

    def start(self, position: int) -> list[Event]:
        """Begin after `position`; returns the events received meanwhile that follow it."""
        self.head = position
        return self._release()

    def receive(self, event: Event) -> list[Event]:
        """Take an event that was notified; returns the events that may be passed on now."""
        if event.seq - 1 == self.head and not self._held:  # nearly always
            self.head = event.seq
            return [event]
        if self.head is not None and event.seq <= self.head:
            return []
        self._known = max(self._known, event.seq)
        if len(self._held) < HELD:
            self._held[event.seq] = event
        return self._release()

    def expect(self, seq: int) -> None:
        """Take note that `seq` exists."""
        self._known = max(self._known, seq)

    def fill(self, rows: Sequence[Event]) -> list[Event]:
        """Take all rows the table has after `head`, or the first of them; returns the events that may be passed on now.

        No row at all means that the notified event does not exist.
        """
        if not rows:
            self._known = self.head or 0
            self._held.clear()
            return []
        fresh = [row for row in rows if self.head is None or row.seq > self.head]
        if fresh:
            self.head = fresh[-1].seq
        return fresh + self._release()

    def _release(self) -> list[Event]:
        if self.head is None:
            return []
        released: list[Event] = []
        while (event := self._held.pop(self.head + 1, None)) is not None:
            self.head = event.seq
            released.append(event)
        if self._held:
            self._held = {seq: event for seq, event in self._held.items() if seq > self.head}
        return released
