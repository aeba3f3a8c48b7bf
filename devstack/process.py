"""Child processes that die with their parent, and marks by which a process is known again after a crash."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from devstack.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PR_SET_PDEATHSIG = 1
# Field 22 of /proc/PID/stat, counted after the command name, which may hold spaces and brackets.
START_TIME_FIELD = 19
# Fields 14 to 17: ticks of a process in user and system mode, and of its children that have ended.
CPU_FIELDS = slice(11, 15)


@functools.cache
def libc() -> ctypes.CDLL:
    """Return the C library, loaded before any fork needs it."""
    return ctypes.CDLL(None, use_errno=True)


def check(result: int, call: str) -> None:
    """Raise OSError with errno when a C call answered -1."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process as written down: its pid and the kernel's start mark, so that a recycled pid is never touched."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Mark a process that is alive now; a dead one gets a mark that matches nothing."""
        return cls(pid, started_at(pid) or "gone")

    def alive(self) -> bool:
        """Say whether this very process still runs (a zombie does not)."""
        return started_at(self.pid) == self.started

    def signal(self, number: int) -> None:
        """Send a signal to this process if it is still the same one."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def started_at(pid: int) -> str | None:
    """Return a mark that differs for a later process with the same pid; None when it is gone or a zombie."""
    if not sys.platform.startswith("linux"):
        return _started_by_ps(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else f"{_boot()}/{fields[START_TIME_FIELD]}"


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of its ended children; 0 when it is gone, or where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[CPU_FIELDS])) / os.sysconf("SC_CLK_TCK")


@functools.cache
def _boot() -> str:
    """Ticks since boot repeat after a reboot, so the boot's id belongs to the mark."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "-"


def _started_by_ps(pid: int) -> str | None:
    """Ask ps where there is no /proc (macOS)."""
    answer = subprocess.run(  # noqa: S603 - the only variable is a number
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None


def spawn(  # noqa: PLR0913 - each is one line of what a child is given
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    output: IO[Any] | int,
    death_signal: int,
    keep_fds: tuple[int, ...] = (),
    become: Callable[[], None] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in its own process group that gets `death_signal` when this process ends, however it ends.

    The kernel ties that signal to the thread that forked, so this refuses to run outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        raise EmbeddedError("children must be started from the main thread: they die with the thread that made them")
    return subprocess.Popen(  # noqa: S603 - our own binaries, no shell
        list(command),
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        process_group=0,
        umask=0o077,  # files and sockets, such as weed's in /tmp, are nobody else's
        pass_fds=keep_fds,
        preexec_fn=_in_child(os.getpid(), death_signal, become),  # noqa: PLW1509 - it takes no lock
    )


def _in_child(parent: int, death_signal: int, become: Callable[[], None] | None) -> Callable[[], None]:
    """Make the function that runs between fork and exec."""
    prctl = libc().prctl if sys.platform.startswith("linux") else None

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # `make run &` in a script hands down an ignored SIGINT
        if become is not None:
            become()
        if prctl is not None:  # after become(): the kernel forgets the death signal when credentials change
            check(prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0), "prctl")
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return prepare


def follow_parent(death_signal: int) -> None:
    """Have the kernel send this process a signal when its parent ends, however it ends; nothing where it cannot."""
    if sys.platform.startswith("linux"):
        check(libc().prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0), "prctl")


def await_end(process: subprocess.Popen[bytes], deadline_s: float) -> bool:
    """Wait for a child that was asked to stop, then kill the rest of its group; whether it went by itself."""
    try:
        process.wait(deadline_s)
    except subprocess.TimeoutExpired:
        return False
    else:
        return True
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the rest of a child's process group and reap the child."""
    if process.poll() is not None and started_at(process.pid) is not None:
        return  # long gone and its number given to a stranger, so its group is empty
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(done: Callable[[], bool], deadline_s: float, *, every_s: float = 0.02) -> bool:
    """Poll a condition of the outside world until it holds; False when the deadline passed first."""
    until = time.monotonic() + deadline_s
    while not done():
        if time.monotonic() >= until:
            return False
        time.sleep(every_s)
    return True
