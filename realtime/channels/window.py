"""The newest events of one visit, kept in memory: a client that was away for a moment needs no query."""

from collections import deque
from collections.abc import Sequence

from realtime.protocol.events import Event

WINDOW_BYTES = 128 * 1024


class Window:
    """The events up to `head`, without a hole, as far back as `limit` bytes of documents reach."""

    __slots__ = ("_bytes", "_events", "_limit", "start")

    def __init__(self, position: int, limit: int = WINDOW_BYTES) -> None:
        self.start = position  # events after this one are here
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._limit = limit

    @property
    def bytes(self) -> int:
        """The documents' length together."""
        return self._bytes

    def extend(self, events: Sequence[Event]) -> None:
        """Append the next events, forgetting the oldest beyond the limit."""
        self._events.extend(events)
        self._bytes += sum(len(event.document) for event in events)
        while self._bytes > self._limit and self._events:
            oldest = self._events.popleft()
            self.start = oldest.seq
            self._bytes -= len(oldest.document)

    def reach_back(self, position: int, rows: Sequence[Event]) -> None:
        """Take all that the table has after `position`, as far as `rows` go: the next to resume there needs no query.

        Only rows that join those here are taken, the newest first, and within the limit.
        """
        if position >= self.start or not rows or rows[-1].seq < self.start:
            return
        for event in reversed(rows):
            if event.seq > self.start:
                continue
            if self._bytes + len(event.document) > self._limit:
                self.start = event.seq
                return
            self._events.appendleft(event)
            self._bytes += len(event.document)
        self.start = position

    def after(self, position: int) -> list[Event] | None:
        """Return the events after `position`, or None when some of them are no longer here."""
        if position < self.start:
            return None
        found: list[Event] = []
        for event in reversed(self._events):
            if event.seq <= position:
                break
            found.append(event)
        found.reverse()
        return found
