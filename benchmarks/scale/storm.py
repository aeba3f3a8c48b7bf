"""What the model's means hide: the queues while streams open again, simulated one client after another.

Each gateway is one core that opens streams in the order they ask, and is slower by what it is busy with besides. Who
has waited too long leaves, which the gateway only finds out when its turn comes, and asks again a moment later, of
whichever gateway the balancer picks then.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from realtime.streams.drain import schedule


@dataclass(frozen=True)
class Gateways:
    """So many, with `busy` of each core taken; they open a stream in `opening_s`, or find nobody there in `left_s`."""

    count: int
    busy: float
    opening_s: float
    left_s: float = 100e-6


@dataclass(frozen=True)
class Patience:
    """How long a client waits for its stream, and until it asks again, give or take half of that."""

    waits_s: float = 10.0
    again_s: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """How long clients waited, from first asking to an open stream, and how it went."""

    waits: Sequence[float]
    over_after_s: float
    longest_queue_s: float
    asked_again: int

    def at(self, share: float) -> float:
        """Return within what time this share of the clients had its stream."""
        return self.waits[min(len(self.waits) - 1, int(share * len(self.waits)))]


def drained(streams: int, window_s: float, random: Random) -> list[float]:
    """Return when the clients of one gateway that drains ask again, as the product plans it."""
    return [at + retry_ms / 1000 for at, retry_ms in schedule(streams, window_s, random)]


def cut_off(streams: int, random: Random) -> list[float]:
    """Return when clients ask again whose gateways all died at once: within their own jittered retry alone."""
    return [random.uniform(0.5, 1.5) for _ in range(streams)]


def simulate(asking: Iterable[float], gateways: Gateways, patience: Patience, random: Random) -> Outcome:
    """Let clients who ask at these times have their streams, or ask again until they do."""
    slowed = 1 / (1 - gateways.busy)
    free_at = [0.0] * gateways.count
    waiting = [(at, at) for at in asking]
    heapq.heapify(waiting)
    waits: list[float] = []
    longest, again = 0.0, 0
    while waiting:
        now, first = heapq.heappop(waiting)
        chosen = random.randrange(gateways.count)
        starts = max(now, free_at[chosen])
        longest = max(longest, starts - now)
        if starts - now > patience.waits_s:
            free_at[chosen] = starts + gateways.left_s * slowed
            heapq.heappush(waiting, (now + patience.waits_s + patience.again_s * random.uniform(0.5, 1.5), first))
            again += 1
            continue
        free_at[chosen] = starts + gateways.opening_s * slowed
        waits.append(free_at[chosen] - first)
    waits.sort()
    return Outcome(waits, max(free_at), longest, again)
