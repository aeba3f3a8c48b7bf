"""The memory cap: the most that all busy helpers of this process may hold together.

Each helper has a limit of its own (`confine`), and several at once may still take more than the machine has. So while
helpers work a thread adds up what they hold, and beyond the cap it ends the largest of them. Its file is not to blame:
its caller is told that nobody looked.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from config.logging import get_logger

_log = get_logger(__name__)

LOOK_SECONDS = 0.05
# As much as one helper may have: below that a cap would end what is allowed.
LEAST_BYTES = 2 * 1024**3
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CGROUPS = Path("/sys/fs/cgroup")


class Watched:
    """A helper at work; `ended` says that it was ended for the sake of the others."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended = False

    def end(self) -> None:
        """Kill it. A number that was given to another process since is left alone."""
        self.ended = True
        with suppress(OSError):
            handle = os.pidfd_open(self.pid)
            try:
                if _parent_of(self.pid) == os.getpid():
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)


class MemoryCap:
    """Watches the helpers at work, from a thread that runs while there are any."""

    def __init__(self, most: Callable[[], int], look_seconds: float = LOOK_SECONDS) -> None:
        self._most = most
        self._look_seconds = look_seconds
        self._at_work: set[Watched] = set()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, pid: int) -> Iterator[Watched]:
        """Count this helper in while the block runs."""
        watched = Watched(pid)
        with self._lock:
            self._at_work.add(watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="memory-cap", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            yield watched
        finally:
            with self._lock:
                self._at_work.discard(watched)
                self._changed.notify()

    def _watch(self) -> None:
        most = self._most()
        while True:
            with self._lock:
                while not self._at_work:
                    self._changed.wait()
                at_work = list(self._at_work)
            self._look(at_work, most)
            with self._lock:
                self._changed.wait_for(lambda: not self._at_work, self._look_seconds)

    def _look(self, at_work: list[Watched], most: int) -> None:
        held = {watched: held_by(watched.pid) for watched in at_work if not watched.ended}
        total = sum(held.values())
        if total > most:
            largest = max(held, key=held.__getitem__)
            largest.end()
            _log.warning("A helper was ended: together they held too much memory", bytes=total, most=most)


def held_by(pid: int) -> int:
    """Return the resident bytes of a process and of its children; 0 when it is gone."""
    held = 0
    with suppress(OSError, ValueError, IndexError):
        held += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
        # A helper in namespaces of its own is the child of the process that was started.
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        held += sum(held_by(int(child)) for child in children)
    return held


def default_cap() -> int:
    """Return half of this service's limit, or without such a limit a quarter of the machine's memory."""
    limit = _service_limit()
    machine = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
    return max(LEAST_BYTES, machine // 4 if limit is None else min(limit // 2, machine // 2))


def _service_limit() -> int | None:
    """Return the memory limit of the control group of this process, None without one."""
    own = ""
    with suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
        own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    limits = []
    for path in {_CGROUPS / own / "memory.max", _CGROUPS / "memory.max"}:
        with suppress(OSError, ValueError):  # "max" is no number
            limits.append(int(path.read_text(encoding="ascii")))
    return min(limits, default=None)


def _parent_of(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return int(stat.rpartition(")")[2].split()[1])


HELPERS = MemoryCap(default_cap)
