"""`make run` waits as long as something moves."""

import subprocess
import sys
from itertools import count

from devstack.patience import MOST_S, Patience
from devstack.process import cpu_seconds


def test_what_moves_is_waited_for() -> None:
    """However long it takes; and the end comes when it has stood still for the time given."""
    now, done = 0.0, 0
    patience = Patience(90, lambda: done, clock=lambda: now)
    for step in range(10):
        now, done = step * 80.0, step
        assert not patience.is_over()
    now += 90
    assert not patience.is_over()
    now += 1
    assert patience.is_over()


def test_what_moves_for_ever_is_not_waited_for() -> None:
    """A gateway that never becomes ready, and logs each second why, is given up too."""
    now = 0.0
    patience = Patience(90, lambda: now, clock=lambda: now)
    now = MOST_S
    assert not patience.is_over()
    now += 1
    assert patience.is_over()


def test_a_process_that_works_is_seen_to_move() -> None:
    """Its CPU time grows, also where it writes nothing; that of none is 0."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            assert any(cpu_seconds(busy.pid) > 0 for _ in count())
        finally:
            busy.kill()
    assert cpu_seconds(busy.pid) == 0
