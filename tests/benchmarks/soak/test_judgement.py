"""What the soak makes of its samples: a leak is told from settling, from noise, and from what a pool may keep."""

import math
from collections.abc import Callable
from random import Random

import pytest

from benchmarks.soak.samples.judgement import MOST_BLOCKS_A_MINUTE, MOST_MIB_A_MINUTE, excess, growths
from benchmarks.soak.samples.sample import Sample
from benchmarks.soak.samples.slope import theil_sen
from benchmarks.soak.samples.tables import Size, unexplained

WHO = "gateway 1"


def _run(mib: Callable[[float], float], minutes: int = 10) -> list[Sample]:
    """Sample a process every 5 s whose memory after so many minutes is `mib`."""
    return [Sample(at * 5.0, {WHO: mib(at / 12)}) for at in range(minutes * 12)]


def _leaks(mib: Callable[[float], float]) -> bool:
    run = _run(mib)
    [growth] = growths(run[0], run[0], run, run[-1])
    return growth.leaks


def test_a_slope_is_the_median_of_all() -> None:
    """One step up and one burst move it by nothing."""
    line = [(float(x), 2.0 * x) for x in range(20)]
    assert theil_sen(line) == 2.0
    line[7] = (7.0, 900.0)
    assert theil_sen(line) == pytest.approx(2.0)
    assert theil_sen([(0, 5), (1, 5), (2, 9), (3, 9), (4, 9), (5, 9)]) == pytest.approx(0.8)


def test_a_slope_needs_two_places() -> None:
    """One point, or several above each other, have none."""
    with pytest.raises(ValueError, match="two points"):
        theil_sen([(1.0, 1.0), (1.0, 2.0)])


def test_a_steady_leak_is_told() -> None:
    """A little above the limit, and with noise ten times as large as what a sample adds."""
    random = Random(1)
    assert _leaks(lambda minute: 100 + 1.5 * MOST_MIB_A_MINUTE * minute + random.gauss(0, 1))


def test_what_settles_is_no_leak() -> None:
    """Caches that fill in the first minutes, noise, and memory that is given back."""
    random = Random(2)
    assert not _leaks(lambda minute: 100 + 30 * (1 - math.exp(-2 * minute)))
    assert not _leaks(lambda _: 100 + random.gauss(0, 3))
    assert not _leaks(lambda minute: 100 - minute)


def test_one_step_is_no_leak_and_steps_for_ever_are() -> None:
    """A heap that had to grow once stays so; one that grows again and again leaks."""
    assert not _leaks(lambda minute: 100 + 20 * (minute > 6))
    assert _leaks(lambda minute: 100 + 4 * math.floor(minute / 2))


def test_objects_are_judged_beside_memory() -> None:
    """A leak that hides in memory the allocator had already is seen by its blocks."""
    run = [Sample(at * 5.0, {WHO: 100.0}, {WHO: 1e6 + at * MOST_BLOCKS_A_MINUTE / 6}) for at in range(120)]
    verdicts = {growth.what: growth.leaks for growth in growths(run[0], run[0], run, run[-1])}
    assert verdicts == {"mib": False, "blocks": True}


def test_servers_are_shown_without_a_verdict() -> None:
    """What is not ours may grow as it likes."""
    run = _run(lambda minute: 100 * minute)
    [growth] = growths(run[0], run[0], run, run[-1], theirs=[WHO])
    assert growth.a_minute == pytest.approx(100)
    assert not growth.leaks


def test_what_comes_back_to_where_it_was_is_no_excess() -> None:
    """As many as after the warm-up, or fewer, whatever there was in between."""
    warm = Sample(0, held={(WHO, "tasks presence"): 1, (WHO, "files"): 7})
    assert excess(warm, Sample(9, held={(WHO, "tasks presence"): 1, (WHO, "files"): 5}), {}) == {}


def test_one_more_is_an_excess_and_so_is_what_was_not_there() -> None:
    """A single task that stays is told, with how many may be."""
    warm = Sample(0, held={(WHO, "tasks presence"): 1})
    end = Sample(9, held={(WHO, "tasks presence"): 2, (WHO, "spools"): 1})
    assert excess(warm, end, {}) == {(WHO, "tasks presence"): (2, 1), (WHO, "spools"): (1, 0)}


def test_a_pool_may_keep_what_it_has_room_for() -> None:
    """Up to its size, and no further."""
    key = (WHO, "sockets to postgres")
    warm = Sample(0, held={key: 3})
    assert excess(warm, Sample(9, held={key: 11}), {key: 11}) == {}
    assert excess(warm, Sample(9, held={key: 12}), {key: 11}) == {key: (12, 11)}


def test_a_table_that_nothing_bounds_is_told() -> None:
    """Growth is fine where it is said how long rows stay."""
    before = {"site_visits": Size(1, 0.1), "forgotten": Size(1, 0.1), "tenants": Size(4, 0.1)}
    after = {"site_visits": Size(9, 0.1), "forgotten": Size(2, 0.1), "tenants": Size(4, 0.1)}
    assert unexplained(before, after) == ["forgotten"]
