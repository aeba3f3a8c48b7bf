"""How much of everything so many open streams take, and what gives first. Pure: values in, values out; means only."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from benchmarks.scale.figures import ASSUMED, MEASURED, Assumed, Measured

Bus = Literal["notify", "redis"]
MOST_STREAMS = 100_000_000


@dataclass(frozen=True)
class Fleet:
    """The gateways that so many streams take, each a process on a core of its own."""

    streams: int
    bus: Bus
    measured: Measured = MEASURED
    assumed: Assumed = ASSUMED

    @property
    def visits(self) -> float:
        """How many visits are watched."""
        return self.streams / self.assumed.streams_a_visit

    @property
    def events(self) -> float:
        """Events a second, over all of them."""
        return self.visits * self.assumed.events_a_visit_s

    @property
    def commits(self) -> float:
        """Commits a second that bring them."""
        return self.events / self.assumed.events_a_commit

    @property
    def heartbeat_cores(self) -> float:
        """Cores that beat."""
        return self.streams / self.assumed.heartbeat_every_s * self.measured.heartbeat_s

    @property
    def fanout_cores(self) -> float:
        """Cores that write events to streams."""
        return self.events * self.assumed.streams_a_visit * self.measured.delivery_s

    @property
    def hearing(self) -> float:
        """The share of its core that every gateway spends on word of all events, whoever watches them."""
        return self.events * (self.measured.notify_word_s if self.bus == "notify" else self.measured.bus_word_s)

    @property
    def gateways(self) -> float:
        """How many processes: for the work, beside what each spends on hearing, and at most so many streams in each.

        Infinite when hearing alone takes more of a core than is planned for.
        """
        left = self.assumed.planned_core - self.hearing
        if left <= 0:
            return math.inf
        by_work = (self.heartbeat_cores + self.fanout_cores) / left
        return max(1, math.ceil(by_work), math.ceil(self.streams / self.assumed.process_streams))

    @property
    def memory_bytes(self) -> float:
        """Memory of all gateways."""
        return self.gateways * self.assumed.process_bytes + self.streams * self.measured.stream_bytes

    @property
    def restart_share(self) -> float:
        """The share of its core that each other gateway spends on openings while one drains; alone, of its heir's."""
        openings_s = self.streams / self.gateways / self.assumed.drain_s
        return openings_s * self.measured.opening_s / max(1, self.gateways - 1)

    @property
    def all_at_once_s(self) -> float:
        """Seconds of CPU that each gateway needs to open all its streams, as when all gateways were away."""
        return self.streams / self.gateways * self.measured.opening_s

    @property
    def openings_queries(self) -> float:
        """Queries that this takes."""
        return self.visits * self.assumed.queries_a_visit

    @property
    def commit_share(self) -> float:
        """The share of the commits that PostgreSQL can make, told in this way."""
        most = self.measured.notify_commits if self.bus == "notify" else self.measured.bus_commits
        return self.commits / most

    @property
    def wakes(self) -> float:
        """How often a second PostgreSQL wakes a listener; the bus has one, the carrier, and only for control words."""
        return self.events * self.gateways if self.bus == "notify" else 0.0

    @property
    def look_queries(self) -> float:
        """Queries by which all gateways together look at what is watched, once after a break in the bus."""
        return self.gateways * math.ceil(self.visits / self.gateways / self.assumed.visits_a_query)

    @property
    def redis_ops(self) -> float:
        """Commands a second: one writer, and every gateway once for each of its entries."""
        return self.assumed.entries_s * (1 + self.gateways) if self.bus == "redis" else 0.0

    @property
    def redis_bytes(self) -> float:
        """Bytes a second that leave Redis."""
        return self.events * self.assumed.event_bytes * self.gateways if self.bus == "redis" else 0.0


@dataclass(frozen=True)
class Ceiling:
    """Something that gives at so many streams."""

    name: str
    streams: int


def ceilings(bus: Bus, measured: Measured = MEASURED, assumed: Assumed = ASSUMED) -> list[Ceiling]:
    """Return what gives, the first first: where one more stream would be too many."""

    def most(fits: Callable[[Fleet], bool]) -> int:
        return last(lambda streams: fits(Fleet(streams, bus, measured, assumed)))

    found = [
        Ceiling("commits of the one database", most(lambda fleet: fleet.commit_share <= 1)),
        Ceiling("each gateway hears of every event", most(lambda fleet: fleet.gateways < math.inf)),
    ]
    if bus == "redis":
        found.append(Ceiling("10 Gbit/s out of one Redis", most(lambda fleet: fleet.redis_bytes <= 1.25e9)))
    return sorted(found, key=lambda ceiling: ceiling.streams)


def last(fits: Callable[[int], bool]) -> int:
    """Return the largest number that fits, where all below one that fits do too; 0 when none does."""
    low, high = 0, MOST_STREAMS
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def lines(fleets: list[Fleet]) -> Iterator[str]:
    """Give the table: a line for each quantity, a column for each fleet, and nothing where no fleet would do."""
    yield f"{'open streams':<32}" + "".join(f"{fleet.streams:>12,}" for fleet in fleets)
    for name, quantity, form in QUANTITIES:
        values = [quantity(fleet) if math.isfinite(fleet.gateways) else math.nan for fleet in fleets]
        yield f"{name:<32}" + "".join(f"{'-' if math.isnan(value) else format(value, form):>12}" for value in values)


QUANTITIES: tuple[tuple[str, Callable[[Fleet], float], str], ...] = (
    ("events/s", lambda fleet: fleet.events, ",.0f"),
    ("gateway processes", lambda fleet: fleet.gateways, ",.0f"),
    ("  cores for heartbeats", lambda fleet: fleet.heartbeat_cores, ".2f"),
    ("  cores for fan-out", lambda fleet: fleet.fanout_cores, ".2f"),
    ("  of each core, to hear", lambda fleet: fleet.hearing, ".1%"),
    ("memory of all, GB", lambda fleet: fleet.memory_bytes / 1e9, ".2f"),
    ("one restarts: others' openings", lambda fleet: fleet.restart_share, ".1%"),
    ("all restart: CPU s in each", lambda fleet: fleet.all_at_once_s, ".1f"),
    ("all restart: queries", lambda fleet: fleet.openings_queries, ",.0f"),
    ("commits, of what fits", lambda fleet: fleet.commit_share, ".1%"),
    ("listeners woken/s", lambda fleet: fleet.wakes, ",.0f"),
    ("queries of a look by all", lambda fleet: fleet.look_queries, ",.0f"),
    ("Redis commands/s", lambda fleet: fleet.redis_ops, ",.0f"),
    ("Redis out, MB/s", lambda fleet: fleet.redis_bytes / 1e6, ",.1f"),
)
