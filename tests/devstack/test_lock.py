"""One owner per data directory."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from devstack.errors import AlreadyRunning, EmbeddedError
from devstack.lock import DirectoryLock, owner, read
from devstack.process import ProcessIdentity
from tests.devstack.harness import ROOT, Run

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys, time
from pathlib import Path
from devstack.lock import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]))
lock.acquire()
lock.note("at the usual place")
print("HELD", flush=True)
sys.stdin.readline()
lock.stopping()
print("STOPPING", flush=True)
sys.stdin.readline()
lock.release()
"""


def holder(directory: Path) -> Run:
    """Hold a directory in another process until a line comes; then say so and leave at the next line."""
    run = Run(["-c", HOLDER, str(directory)])
    run.wait_for("HELD")
    return run


def say_line(run: Run) -> None:
    """Let the holder go one step on."""
    assert run.process.stdin is not None
    run.process.stdin.write("\n")
    run.process.stdin.flush()


def test_a_second_caller_is_told_who_runs_there(tmp_path: Path) -> None:
    """The message has the pid, the note and the way out, and the first one's record is left alone."""
    with holder(tmp_path) as first:
        before = read(tmp_path / "lock")
        second = DirectoryLock(tmp_path)
        with pytest.raises(AlreadyRunning, match=f"process {first.process.pid} .at the usual place.*make stop"):
            second.acquire()
        second.release()
        assert read(tmp_path / "lock") == before


def test_a_second_caller_waits_for_an_owner_that_is_leaving(tmp_path: Path) -> None:
    """Ctrl-C and `make run` right after it is no error."""
    with holder(tmp_path) as first:
        say_line(first)
        first.wait_for("STOPPING")
        say_line(first)
        with DirectoryLock(tmp_path):
            found = owner(read(tmp_path / "lock"))
        assert found is not None
        assert found.pid == os.getpid()


def test_a_killed_owner_frees_the_directory(tmp_path: Path) -> None:
    """Nothing has to be removed by hand after kill -9."""
    with holder(tmp_path) as first:
        first.process.kill()
        first.process.wait(10)
        with DirectoryLock(tmp_path) as lock:
            assert lock.is_held


def test_leftovers_that_inherited_the_lock_are_ended(tmp_path: Path) -> None:
    """A dead owner's child that overstays is terminated: pid and start mark say that it is ours."""
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    leftover = sleeper(lock.fd)
    forget_to_release(lock, leftover, ProcessIdentity.of(leftover.pid))
    DirectoryLock(tmp_path).acquire(wait_s=0.1)
    assert leftover.wait(10) != 0


def test_a_stranger_with_a_recycled_pid_is_never_touched(tmp_path: Path) -> None:
    """The start mark differs, so it lives on and the error says that the directory is held."""
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    stranger = sleeper(lock.fd)
    forget_to_release(lock, stranger, ProcessIdentity(stranger.pid, "an earlier boot"))
    try:
        with pytest.raises(EmbeddedError, match="still hold"):
            DirectoryLock(tmp_path).acquire(wait_s=0.1)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait(10)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": null}'])
def test_a_torn_lock_file_blocks_nobody(tmp_path: Path, text: str) -> None:
    """A crash in the middle of a write leaves a file that is simply written anew."""
    (tmp_path / "lock").write_text(text)
    with DirectoryLock(tmp_path):
        assert owner(read(tmp_path / "lock")) == ProcessIdentity.of(os.getpid())


def test_a_mark_knows_its_process_from_another() -> None:
    """Alive with the right start mark, not with another, not after its end."""
    process = subprocess.Popen(["sleep", "600"])
    mark = ProcessIdentity.of(process.pid)
    assert mark.alive()
    assert not ProcessIdentity(process.pid, "0/0").alive()
    process.kill()
    process.wait(10)
    assert not mark.alive()


def sleeper(fd: int) -> subprocess.Popen[bytes]:
    """Start a process that keeps the lock open and never ends by itself."""
    return subprocess.Popen(["sleep", "600"], cwd=ROOT, pass_fds=(fd,))


def forget_to_release(lock: DirectoryLock, leftover: subprocess.Popen[bytes], mark: ProcessIdentity) -> None:
    """Leave the file as a killed owner does: its own mark dead, its child's written down."""
    record: dict[str, Any] = {"owner": {"pid": leftover.pid, "started": "before"}, "children": {"db": vars(mark)}}
    os.ftruncate(lock.fd, 0)
    os.pwrite(lock.fd, json.dumps(record).encode(), 0)
    os.close(lock.fd)
