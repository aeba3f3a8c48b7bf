"""Queues of clients who come back, each case small enough to be followed by hand."""

from random import Random

import pytest

from benchmarks.scale.storm import Gateways, Patience, cut_off, drained, simulate
from realtime.streams.drain import RESTART_SECONDS


def test_one_gateway_opens_one_after_the_other() -> None:
    """Four at once wait one, two, three and four times an opening; on a half busy core twice that."""
    outcome = simulate([0.0] * 4, Gateways(1, busy=0.0, opening_s=1.0), Patience(), Random(1))
    assert list(outcome.waits) == [1, 2, 3, 4]
    assert (outcome.over_after_s, outcome.longest_queue_s, outcome.asked_again) == (4, 3, 0)
    assert (outcome.at(0.0), outcome.at(0.5), outcome.at(1.0)) == (1, 3, 4)
    slower = simulate([0.0] * 4, Gateways(1, busy=0.5, opening_s=1.0), Patience(), Random(1))
    assert list(slower.waits) == [2, 4, 6, 8]


def test_who_comes_alone_does_not_wait() -> None:
    """A queue is only where they come faster than they are served."""
    outcome = simulate([0.0, 5.0, 10.0], Gateways(1, busy=0.0, opening_s=1.0), Patience(), Random(1))
    assert list(outcome.waits) == [1, 1, 1]
    assert outcome.over_after_s == 11


def test_who_loses_patience_asks_again_and_is_served_in_the_end() -> None:
    """Ten at once with three seconds of patience: four have their turn, the rest return, and wait from their start."""
    outcome = simulate([0.0] * 10, Gateways(1, busy=0.0, opening_s=1.0, left_s=0.0), Patience(3.0, 1.0), Random(1))
    assert len(outcome.waits) == 10
    assert list(outcome.waits[:4]) == [1, 2, 3, 4]
    assert outcome.asked_again >= 6
    assert outcome.waits[4] >= 3.0 + 0.5 + 1.0


def test_more_gateways_make_the_storm_shorter() -> None:
    """Everybody gets a stream, sooner on four than on one."""
    asking = cut_off(2_000, Random(2))
    assert all(0.5 <= at <= 1.5 for at in asking)
    few, many = (simulate(asking, Gateways(count, 0.2, 0.002), Patience(), Random(3)) for count in (1, 4))
    assert len(few.waits) == len(many.waits) == 2_000
    assert many.at(0.99) < few.at(0.99)


@pytest.mark.parametrize("window_s", [1.0, 5.0])
def test_a_drain_comes_back_as_the_product_plans_it(window_s: float) -> None:
    """Evenly over a window, once the restart is over: within what the others can open, nobody waits for long."""
    asking = drained(500, window_s, Random(4))
    assert len(asking) == 500
    first = window_s + RESTART_SECONDS
    assert first - 0.5 <= min(asking)
    assert max(asking) <= first + window_s + 0.5
    outcome = simulate(asking, Gateways(4, 0.1, 0.0004), Patience(), Random(5))
    assert outcome.at(0.99) < 0.05
