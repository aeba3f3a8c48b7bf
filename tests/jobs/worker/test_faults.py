"""The fault checker: that it finds what cannot have happened, and that nothing of it happens."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.queue_faults.faults import KINDS
from benchmarks.queue_faults.history import walk
from benchmarks.queue_faults.wire import Conversation
from jobs.queue.states import State
from tests.product import ROOT, end

SEED = 1
RUN_SECONDS = 280.0

Event = tuple[str, dict[str, Any]]

STARTED: Event = ("job.started", {"attempt": 1, "worker": "host-7"})
AGAIN: Event = ("job.started", {"attempt": 2, "worker": "host-8"})
QUEUED: Event = ("job.queued", {})
RELEASED: Event = ("job.released", {})
COMPLETED: Event = ("job.completed", {})
FAILED: Event = ("job.failed", {})


def _step(attempt: int, pid: int) -> Event:
    return "step.started", {"attempt": attempt, "pid": pid}


LIVES: dict[str, tuple[list[Event], State]] = {
    "straight": ([QUEUED, STARTED, _step(1, 7), COMPLETED], State.COMPLETED),
    "rescued": ([QUEUED, STARTED, RELEASED, AGAIN, _step(2, 8), COMPLETED], State.COMPLETED),
    "handed back": ([QUEUED, STARTED, RELEASED, STARTED, COMPLETED], State.COMPLETED),
    "redriven": ([QUEUED, STARTED, FAILED, QUEUED, STARTED, COMPLETED], State.COMPLETED),
}
IMPOSSIBLE: dict[str, list[Event]] = {
    "two results": [QUEUED, STARTED, COMPLETED, COMPLETED],
    "claimed twice": [QUEUED, STARTED, AGAIN],
    "an attempt left out": [QUEUED, AGAIN],
    "an attempt taken back after a failure": [
        QUEUED,
        STARTED,
        RELEASED,
        AGAIN,
        RELEASED,
        ("job.started", {**AGAIN[1], "attempt": 4}),
    ],
    "a zombie's event": [QUEUED, STARTED, RELEASED, AGAIN, _step(1, 7)],
    "another process' event": [QUEUED, STARTED, _step(1, 8)],
    "an event after the end": [QUEUED, STARTED, COMPLETED, _step(1, 7)],
    "never queued": [STARTED],
    "queued twice": [QUEUED, QUEUED],
}


@pytest.mark.parametrize(("events", "state"), LIVES.values(), ids=LIVES.keys())
def test_a_possible_life_is_let_pass(events: list[Event], state: State) -> None:
    """What the table of states allows ends where its last event says."""
    history = walk(events)
    assert (history.state, history.wrong) == (state, [])


@pytest.mark.parametrize("events", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_an_impossible_life_is_found_out(events: list[Event]) -> None:
    """Each way in which a queue could go wrong is told."""
    assert len(walk(events).wrong) == 1


def test_a_transaction_is_known_by_what_it_called() -> None:
    """Prepared statements are followed by name, and a new transaction starts with nothing called."""
    client = Conversation()
    assert client.hear(b"Q", b"BEGIN;\0") == "BEGIN;"
    assert client.hear(b"P", b"s1\0SELECT scopekit.complete_job($1)\0\0\0") is None
    assert client.hear(b"B", b"\0s1\0\0\0") == "SELECT scopekit.complete_job($1)"
    assert client.hear(b"Q", b"COMMIT;\0") == "COMMIT;"
    assert client.has_called("complete_job")
    assert not client.has_called("fail_job")
    client.hear(b"Q", b"BEGIN;\0")
    assert not client.has_called("complete_job")


@pytest.mark.timeout(RUN_SECONDS + 60)
def test_no_fault_loses_or_doubles_a_job(tmp_path: Path) -> None:
    """Each kind of fault once, over real servers and workers; two checkers share them, as most of it is waiting."""
    half = len(KINDS) // 2
    checkers = []
    for first, runs in ((0, half), (half, len(KINDS) - half)):
        options = ["--seed", str(SEED), "--first", str(first), "--runs", str(runs), "--verbose"]
        with (tmp_path / f"{first}.log").open("wb") as log:
            command = [sys.executable, "-m", "benchmarks.queue_faults", *options]
            checkers.append(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT))
    try:
        codes = [checker.wait(RUN_SECONDS) for checker in checkers]
    finally:
        for checker in checkers:
            end(checker)
    told = "\n".join(log.read_text() for log in sorted(tmp_path.iterdir()))
    assert codes == [0, 0], told
    assert told.count("violations: 0") == len(checkers)
