"""What so many streams take: the arithmetic, by figures that can be checked in one's head."""

import math
from dataclasses import replace

import pytest

from benchmarks.scale.figures import Assumed, Measured
from benchmarks.scale.model import Bus, Fleet, ceilings, last, lines

ROUND = Measured(
    stream_bytes=1_000,
    heartbeat_s=0.003,
    opening_s=0.001,
    delivery_s=0.001,
    notify_commits=10,
    bus_commits=100,
    notify_word_s=0.001,
    bus_word_s=0.002,
)
USE = Assumed(
    streams_a_visit=2,
    events_a_visit_s=0.1,
    event_bytes=100,
    events_a_commit=5,
    heartbeat_every_s=30,
    process_bytes=1_000_000,
    planned_core=0.6,
    process_streams=1_000,
    drain_s=5,
    visits_a_query=500,
    queries_a_visit=2,
    entries_s=50,
)


def fleet(streams: int, bus: Bus = "notify") -> Fleet:
    """Make one with round figures."""
    return Fleet(streams, bus, ROUND, USE)


def test_work_follows_from_streams() -> None:
    """2,000 streams are 1,000 visits, 100 events and 20 commits a second, 200 deliveries and 67 heartbeats."""
    found = fleet(2_000)
    assert (found.visits, found.events, found.commits) == (1_000, 100, 20)
    assert (found.heartbeat_cores, found.fanout_cores) == pytest.approx((0.2, 0.2))
    assert found.hearing == pytest.approx(0.1)


def test_gateways_share_the_work_and_each_hears_everything() -> None:
    """0.4 cores of work on 0.5 that hearing leaves are one process; the cap of streams makes it two."""
    assert fleet(2_000).gateways == 2
    assert replace(fleet(2_000), assumed=replace(USE, process_streams=9_999)).gateways == 1
    assert fleet(10_000).gateways in (20, 21)  # 2 cores on a tenth of each, in binary fractions
    assert fleet(12_000).gateways == math.inf
    assert fleet(6_000, "redis").gateways == math.inf


def test_a_restart_is_spread_over_the_others() -> None:
    """Of 4,000 streams on four gateways one's thousand come back over 5 s to three; all at once, a thousand to each."""
    found = replace(fleet(4_000), measured=replace(ROUND, notify_word_s=0))
    assert found.gateways == 4
    assert found.restart_share == pytest.approx(200 * 0.001 / 3)
    assert found.all_at_once_s == pytest.approx(1.0)
    assert found.openings_queries == 4_000


def test_memory_is_that_of_processes_and_streams() -> None:
    """Two processes of a megabyte, and two thousand streams of a kilobyte."""
    assert fleet(2_000).memory_bytes == 4_000_000


def test_the_bus_moves_the_load_from_the_database_to_redis() -> None:
    """NOTIFY wakes each gateway for each event; the bus wakes none, and is read by each for each entry."""
    by_notify, by_bus = fleet(2_000), fleet(2_000, "redis")
    assert (by_notify.commit_share, by_bus.commit_share) == (2.0, 0.2)
    assert (by_notify.wakes, by_bus.wakes) == (200, 0)
    assert (by_notify.redis_ops, by_bus.redis_ops) == (0, 150)
    assert (by_notify.redis_bytes, by_bus.redis_bytes) == (0, 20_000)
    assert by_bus.look_queries == 2


@pytest.mark.parametrize("limit", [0, 1, 7, 99_999_999])
def test_the_last_that_fits_is_found(limit: int) -> None:
    """Whatever it is, none and all included."""
    assert last(lambda number: number <= limit) == limit


def test_what_gives_first_comes_first() -> None:
    """With NOTIFY the commits at 1,000 streams; with the bus hearing, before its hundred commits are reached."""
    found = {bus: [(each.name, each.streams) for each in ceilings(bus, ROUND, USE)] for bus in ("notify", "redis")}
    assert found["notify"][0] == ("commits of the one database", 1_000)
    assert found["notify"][1][1] == 11_999
    assert found["redis"][0][0] == "each gateway hears of every event"
    assert ("commits of the one database", 10_000) in found["redis"]


def test_the_table_has_a_column_for_each_fleet() -> None:
    """Also where no number of gateways would do."""
    table = list(lines([fleet(2_000), fleet(12_000)]))
    assert table[0].split() == ["open", "streams", "2,000", "12,000"]
    assert ["gateway", "processes", "2", "-"] in [line.split() for line in table]
