"""Starts stacks and whole products as processes of their own, so that a test can kill them."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from devstack.lock import children, read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent.parent
# Two cores and other suites beside this one.
START_S = 60.0
STOP_S = 40.0


class Run:
    """A process whose lines can be waited for; killed on leaving the `with` block if it still runs."""

    def __init__(self, command: Sequence[str], **environment: str) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        own = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=own | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(STOP_S)
        assert self.process.stdin is not None
        self.process.stdin.close()

    @property
    def text(self) -> str:
        """All lines so far."""
        return "\n".join(self.lines)

    def wait_for(self, words: str, within_s: float = START_S) -> str:
        """Return the first line with these words; fails when the process ends or the deadline passes first."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._with(words), within_s)
            found = self._with(words)
        assert found, f"no line with {words!r} within {within_s} s:\n{self.text}"
        return found

    def signal(self, number: int) -> None:
        """Send a signal to the process alone, as `kill` does."""
        self.process.send_signal(number)

    def ends(self, within_s: float = STOP_S) -> int:
        """Wait for the end and for the last line; the exit code."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended, within_s), f"still runs:\n{self.text}"
        return self.process.wait(within_s)

    def _with(self, words: str) -> str:
        return next((line for line in self.lines if words in line), "")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        self.process.stdout.close()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


ENVIRONMENT = ("DATABASE_URL", "REDIS_URL", "PORT", "SCOPEKIT_DIR")


def hold_stack(directory: Path, *options: str) -> Run:
    """Start the three servers in a process; its line `UP {json}` tells where they are."""
    return Run(["-m", "tests.devstack.hold_stack", str(directory), *options])


def up(directory: Path, port: int, *options: str, **environment: str) -> Run:
    """Start the product as `make run` does."""
    return Run(["-m", "devstack.up", *options], SCOPEKIT_DIR=str(directory), PORT=str(port), **environment)


def roles(directory: Path, **commands: str) -> Path:
    """Write a Procfile of stand-ins, such as `web="web"`."""
    path = directory / "Procfile"
    directory.mkdir(exist_ok=True)
    lines = [f"{name}: python -m tests.devstack.stand_in {role}\n" for name, role in commands.items()]
    path.write_text("".join(lines))
    return path


def marked(directory: Path) -> Mapping[str, int]:
    """Return the children a running supervisor has written down."""
    return {name: mark.pid for name, mark in children(read(directory / "lock")).items() if mark.alive()}


def all_gone(directory: Path, pids: Mapping[str, int], within_s: float = STOP_S) -> list[str]:
    """Wait until nothing uses a directory; returns who still does.

    Every descendant inherits the lock's descriptor, so a lock that can be taken proves that all are gone, also those
    nobody wrote down.
    """
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        left = [name for name, pid in pids.items() if _runs(pid)] + ([] if _is_free(directory) else ["the lock"])
        if not left:
            return []
        time.sleep(0.02)
    return left


def kill(pid: int) -> None:
    """End a process as a crash would."""
    os.kill(pid, signal.SIGKILL)


def _is_free(directory: Path) -> bool:
    with (directory / "lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
