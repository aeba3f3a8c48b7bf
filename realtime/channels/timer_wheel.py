"""One clock for all streams: which are due a heartbeat, and which tokens have run out. No I/O; time is given."""

import math
from random import Random
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class Timed(Protocol):
    """A stream on the wheel: its slot (the wheel's own note) and the epoch second its token ends."""

    slot: int
    expires_at: float


Stream = TypeVar("Stream", bound=Timed)

# Whoever came together lies together in memory, here and in the kernel: who beats together should be those.
NEIGHBOURS = 32


class TimerWheel(Generic[Stream]):
    """Each stream stands in one slot and is due when the wheel comes round to it, once every `slots` turns."""

    def __init__(self, slots: int, tick_s: float, now: float, random: Random) -> None:
        self._slots: list[dict[Stream, None]] = [{} for _ in range(slots)]  # in the order they came
        self._filling = 0
        self._room = 0
        self._hand = 0
        self._tick_s = tick_s
        self._random = random
        self._expiring: dict[int, set[Stream]] = {}
        self._seen = self._tick_of(now)

    def add(self, stream: Stream) -> None:
        """Give a stream a slot, and the same to a few that come next."""
        if self._room == 0:
            self._filling, self._room = self._choose(), NEIGHBOURS
        self._room -= 1
        stream.slot = self._filling
        self._slots[stream.slot][stream] = None
        if math.isfinite(stream.expires_at):
            self._expiring.setdefault(self._expiry_of(stream), set()).add(stream)

    def discard(self, stream: Stream) -> None:
        """Take a stream off; harmless when it is not on."""
        self._slots[stream.slot].pop(stream, None)
        if not math.isfinite(stream.expires_at):
            return
        tick = self._expiry_of(stream)
        expiring = self._expiring.get(tick)
        if expiring is not None:
            expiring.discard(stream)
            if not expiring:
                del self._expiring[tick]

    def all(self) -> list[Stream]:
        """Return every stream."""
        return [stream for slot in self._slots for stream in slot]

    def turn(self) -> list[Stream]:
        """Move on by one slot and return the streams in it."""
        self._hand = (self._hand + 1) % len(self._slots)
        return list(self._slots[self._hand])

    def expired(self, now: float) -> list[Stream]:
        """Return the streams with tokens that have run out since the last time."""
        first, self._seen = self._seen, max(self._seen, self._tick_of(now))
        ticks: Iterable[int] = range(first, self._seen)
        if self._seen - first > len(self._expiring):  # the clock was set, or the machine slept
            ticks = [tick for tick in self._expiring if tick < self._seen]
        return [stream for tick in ticks for stream in self._expiring.pop(tick, ())]

    def _choose(self) -> int:
        """Choose at random, so that a storm of reconnects does not beat as one for ever after; the emptier of two."""
        first, second = (int(self._random.random() * len(self._slots)) for _ in range(2))
        return min(first, second, key=lambda slot: len(self._slots[slot]))

    def _expiry_of(self, stream: Stream) -> int:
        return max(self._tick_of(stream.expires_at), self._seen)

    def _tick_of(self, time: float) -> int:
        return int(time / self._tick_s)
