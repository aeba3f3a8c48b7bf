"""Confinement: the rights a helper process gives up before it reads its first byte from outside.

A file that takes over a decoder must gain nothing by it. So a helper has no secret in its environment, cannot look at
another process, opens no socket, starts no program and writes no file; it may read the files of its own code, or none.
Several walls say so, each for itself: where a machine lacks one, the others stand, and `missing` names it.
"""

from __future__ import annotations

import os
import resource
import signal
import site
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from store.sandbox import landlock, linux, namespaces, seccomp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PASSED_ON = frozenset({"PATH", "LANG", "LD_LIBRARY_PATH", "TMPDIR", "SYSTEMROOT"})
_LAST_CAPABILITY = 63
_CAPABILITIES_V3 = 0x2008_0522
_MOST_THREADS = 64
_DIES_FIRST = "1000"


def bare_environment() -> dict[str, str]:
    """Return the environment for a helper: hostile bytes meet no secret of ours."""
    return {name: value for name, value in os.environ.items() if name.upper() in _PASSED_ON}


def hide_memory() -> None:
    """Keep this process's memory and environment from every other process of its user, and from core dumps.

    The processes that hold credentials call it as they start.
    """
    with suppress(OSError):  # only Linux can
        linux.prctl(linux.PR_SET_DUMPABLE, 0)


def confine(memory_bytes: int, *, readable: Sequence[Path] = (), cpu_seconds: int | None = None) -> list[str]:
    """Give up all that opening a file does not need; returns the names of the walls that could not be had.

    Every module it needs must be imported before, unless it lies below `readable`. Call it before any thread starts.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(5)
    with suppress(OSError):  # when memory runs out, the kernel ends a helper rather than the gateway
        Path("/proc/self/oom_score_adj").write_text(_DIES_FIRST, encoding="ascii")
    existing = [path for path in readable if path.exists()]
    missing = [] if _had(namespaces.leave) else ["namespaces"]
    if missing or not _had(lambda: namespaces.hide_files(existing)):
        missing.append("file system")
    _limit(memory_bytes, cpu_seconds, threads=_MOST_THREADS if "namespaces" not in missing else None)
    walls: dict[str, Callable[[], None]] = {
        "landlock": lambda: landlock.restrict(existing),
        "capabilities": _drop_capabilities,
        "seccomp": lambda: seccomp.restrict(reads_files=bool(existing)),
    }
    return missing + [name for name, wall in walls.items() if not _had(wall)]


def code_and_models() -> list[Path]:
    """Return the directories that hold Python, its packages, the models they bring along, and system libraries."""
    base = Path(sys.base_prefix) / "lib"
    packages = [Path(path) for path in site.getsitepackages()]
    libraries = [Path(path) for path in ("/lib", "/lib64", "/usr/lib", "/usr/lib64")]
    return list(dict.fromkeys([base, *packages, *libraries]))


def _had(wall: Callable[[], None]) -> bool:
    try:
        wall()
    except OSError:
        return False
    return True


def _limit(memory_bytes: int, cpu_seconds: int | None, threads: int | None) -> None:
    limits = {"RLIMIT_AS": memory_bytes, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0, "RLIMIT_CPU": cpu_seconds}
    # Outside a user namespace the kernel would count every process of the user.
    for name, value in {**limits, "RLIMIT_NPROC": threads}.items():
        if value is not None:
            with suppress(OSError, ValueError):  # not every system can
                resource.setrlimit(getattr(resource, name), (value, value))


def _drop_capabilities() -> None:
    for capability in range(_LAST_CAPABILITY + 1):
        with suppress(OSError):  # the last ones are not known to every kernel, and some may not be dropped
            linux.prctl(linux.PR_CAPBSET_DROP, capability)
    header = _CAPABILITIES_V3.to_bytes(4, "little") + bytes(4)
    linux.syscall_of(linux.CAPSET, header, bytes(24))
