"""The events still owed to one slow reader: bounded, and with superseded progress left out first."""

from collections.abc import Iterable
from typing import Any

from realtime.protocol import wire
from realtime.protocol.events import Event

# 256 KiB a reader: with the 64 KiB a transport takes before it asks to stop, the piece that was one too many, and an
# event's worth on top of each. Only a burst written at once, or an event larger than all this, may stand above it.
BACKLOG_BYTES = 144 * 1024
PIECE_BYTES = 32 * 1024


class Backlog:
    """Events that wait for a reader, by reference: the bytes are the ones everybody shares."""

    __slots__ = ("_bytes", "_events", "_limit", "superseded")

    def __init__(self, limit: int = BACKLOG_BYTES) -> None:
        self._events: list[Event] = []
        self._bytes = 0
        self._limit = limit
        self.superseded = 0  # how many were left out

    def __len__(self) -> int:
        return len(self._events)

    def add(self, events: Iterable[Event]) -> bool:
        """Append events; False when they do not fit even without superseded progress, and the reader is given up."""
        for event in events:
            self._events.append(event)
            self._bytes += len(event.document)
        if self._bytes > self._limit:
            self._drop_superseded()
        return self._bytes <= self._limit

    def take(self) -> bytes:
        """Remove and encode the next piece, of about 32 KiB and at least one event."""
        size = count = 0
        for event in self._events:
            if count and size + len(event.document) > PIECE_BYTES:
                break
            size += len(event.document)
            count += 1
        taken = self._events[:count]
        del self._events[:count]
        self._bytes -= size
        return wire.frames(taken)

    def _drop_superseded(self) -> None:
        seen: set[Any] = set()
        kept: list[Event] = []
        for event in reversed(self._events):
            key = event.progress_of() if event.is_progress else None
            if key is None or key not in seen:
                kept.append(event)
                seen.add(key)
        kept.reverse()
        self.superseded += len(self._events) - len(kept)
        self._events = kept
        self._bytes = sum(len(event.document) for event in kept)
