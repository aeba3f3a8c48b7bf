"""Namespaces: a view of the machine without its network, its processes and its files."""

import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

from store.sandbox import linux

_NEWNS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x0002_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000


def leave() -> None:
    """Go on as the only process of namespaces of its own: user, PID, mount, network, IPC.

    This process stays outside and does nothing but wait: a PID namespace holds only processes that are born in it.
    Raises OSError where the machine does not allow it, and in a process that has threads.
    """
    user, group = os.getuid(), os.getgid()
    linux.unshare(_NEWUSER | _NEWPID | _NEWNS | _NEWNET | _NEWIPC)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    linux.prctl(linux.PR_SET_DUMPABLE, 0)  # neither may be read by the other's kind
    nothing = os.open(os.devnull, os.O_RDWR)  # before the process inside takes the files away from both
    if inner := os.fork():
        _stand_by(inner, nothing)
    os.close(nothing)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)


def hide_files(readable: Sequence[Path]) -> None:
    """Leave a root directory that holds `readable`, read-only, and nothing else. Raises OSError."""
    linux.mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    root = tempfile.gettempdir()
    paths = [(path, Path(root, *path.parts[1:])) for path in readable]
    sources = [os.open(path, os.O_PATH) for path, _ in paths]  # before the new root may hide them
    linux.mount("none", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=256k,mode=755")
    for source, (_, target) in zip(sources, paths, strict=True):
        target.mkdir(parents=True, exist_ok=True)
        linux.mount(f"/proc/self/fd/{source}", str(target), None, _MS_BIND | _MS_REC)
        os.close(source)
    os.chdir(root)
    linux.syscall_of(linux.PIVOT_ROOT, b".", b".")
    linux.unmount(".", _MNT_DETACH)
    os.chdir("/")
    _make_read_only()


def _make_read_only() -> None:
    attributes = b"".join(value.to_bytes(8, "little") for value in (_MS_RDONLY | _MS_NOSUID | _MS_NODEV, 0, 0, 0))
    linux.syscall(_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, attributes, len(attributes))


def _stand_by(inner: int, nothing: int) -> None:
    """Wait for the process inside and end as it ends, holding none of its pipes."""
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    _, status = os.waitpid(inner, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
