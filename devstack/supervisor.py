"""The Procfile's processes: started, their lines shown with a name in front, stopped in order."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, TYPE_CHECKING

from honcho.colour import get_colours
from honcho.environ import parse_procfile
from honcho.printer import Message, Printer

from devstack.patience import Patience
from devstack.process import cpu_seconds, kill_group, spawn

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

TICK_S = 0.1
READ_BYTES = 65536


@dataclass
class Child:
    """One process and the part of its last line that has not ended yet."""

    name: str
    process: subprocess.Popen[bytes]
    colour: str
    unfinished: bytes = field(default=b"", repr=False)

    @property
    def output(self) -> IO[bytes]:
        """Both of its output streams, as one."""
        assert self.process.stdout is not None  # noqa: S101 - spawned with a pipe
        return self.process.stdout


class Supervisor:
    """Runs processes and shows their lines; one thread, nothing buffered beyond one line each.

    honcho's own manager is not used: its helper processes outlive a killed parent, and it stops all at once.
    """

    def __init__(self, cwd: Path) -> None:
        self._cwd = cwd
        self._selector = selectors.DefaultSelector()
        self._colours = get_colours()
        self._printer = Printer(sys.stdout, width=len("migrate"))
        self._all: dict[str, Child] = {}
        self._lines = 0

    def start(self, name: str, command: str, env: Mapping[str, str], keep_fds: tuple[int, ...] = ()) -> int:
        """Start a Procfile line and return its pid. It is killed should we be: leases and replay are made for that."""
        process = spawn(
            shlex.split(command),
            env=env,
            cwd=self._cwd,
            output=-1,  # subprocess.PIPE
            death_signal=signal.SIGKILL,
            keep_fds=keep_fds,
        )
        child = Child(name, process, next(self._colours))
        os.set_blocking(child.output.fileno(), False)
        self._selector.register(child.output, selectors.EVENT_READ, child)
        self._all[name] = child
        return process.pid

    def pump(self, timeout_s: float = TICK_S) -> None:
        """Wait a moment for lines and show them."""
        if not self._selector.get_map():
            time.sleep(timeout_s)
            return
        for key, _events in self._selector.select(timeout_s):
            self._show(key.data)

    def ended(self) -> dict[str, int]:
        """Return the exit codes of those that have ended."""
        codes = {name: child.process.poll() for name, child in self._all.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def progress(self) -> tuple[int, int]:
        """Return a figure that grows while anything moves: lines shown, and CPU seconds (an idle process uses some)."""
        return self._lines, sum(int(cpu_seconds(child.process.pid)) for child in self._all.values())

    def wait(self, name: str, still_s: float) -> int | None:
        """Show lines until a child ends; its exit code, or None when all have stood still for `still_s`."""
        patience = Patience(still_s, self.progress)
        while name not in self.ended() and not patience.is_over():
            self.pump()
        code = self.ended().get(name)
        if code is not None:
            self._forget(name)
        return code

    def stop(self, name: str, deadline_s: float, hurry: Callable[[], bool]) -> bool:
        """Ask a child to end and show its last lines; killed at the deadline or when `hurry()` turns true.

        Returns whether it went when asked.
        """
        if name not in self._all:
            return True
        process = self._all[name].process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        until = time.monotonic() + deadline_s
        while process.poll() is None and time.monotonic() < until and not hurry():
            self.pump()
        went = process.poll() is not None
        kill_group(process)
        self._forget(name)
        return went

    def names(self) -> list[str]:
        """Return the names in the order they were started."""
        return list(self._all)

    def _show(self, child: Child) -> bool:
        """Show a child's new output; False when there is nothing now or ever again."""
        try:
            data = os.read(child.output.fileno(), READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._selector.unregister(child.output)
        *lines, child.unfinished = (child.unfinished + data).split(b"\n")
        if child.unfinished and (not data or len(child.unfinished) > READ_BYTES):
            lines.append(child.unfinished)
            child.unfinished = b""
        for line in lines:
            self._print(child, line)
        return bool(data)

    def _print(self, child: Child, line: bytes) -> None:
        self._lines += 1
        now = datetime.now().astimezone()
        message = Message(type="line", data=line or b" ", time=now, name=child.name, colour=child.colour)
        with ignore_closed_output():
            self._printer.write(message)

    def _forget(self, name: str) -> None:
        child = self._all.pop(name)
        while child.output in self._selector.get_map() and self._show(child):
            pass
        if child.output in self._selector.get_map():  # a grandchild still holds the pipe
            self._selector.unregister(child.output)
        child.output.close()


@contextlib.contextmanager
def ignore_closed_output() -> Iterator[None]:
    """Go on when nobody reads our output any more (`make run | head`), and write to nowhere from then on."""
    try:
        yield
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def read_procfile(path: Path) -> dict[str, str]:
    """Return the commands of a Procfile by name, in its order."""
    return dict(parse_procfile(path.read_text()).processes)
