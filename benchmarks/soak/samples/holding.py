"""What a process holds, as the kernel has it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LISTENING = "0A"


@dataclass(frozen=True)
class Holding:
    """One process: MiB of its own, threads, descriptors by kind; one that is dead and not waited for has nothing."""

    mib: float
    threads: int
    descriptors: Counter[str]


class Moment:
    """The machine's processes and TCP sockets at one moment.

    Sockets are named by their ports: `own` those of ours that others connect to, `far` those that we connect to.
    """

    def __init__(self, own: Mapping[int, str], far: Mapping[int, str]) -> None:
        self._sockets = {
            inode: _kind(local, remote, state, own, far)
            for name in ("/proc/net/tcp", "/proc/net/tcp6")
            for inode, local, remote, state in _connections(name)
        }
        self._children: dict[int, list[int]] = defaultdict(list)
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                self._children[_parent(path)].append(int(path.parent.name))

    def children(self, pid: int) -> list[int]:
        """Return the processes that a process has started, the dead that nobody has waited for too; not their own."""
        return self._children[pid]

    def holding(self, pid: int) -> Holding:
        """Look at a process. Raises OSError when it is gone."""
        root = Path(f"/proc/{pid}")
        return Holding(_own_mib(root), len(list((root / "task").iterdir())), Counter(self._descriptors(root)))

    def _descriptors(self, root: Path) -> Iterator[str]:
        for descriptor in (root / "fd").iterdir():
            with suppress(OSError):
                yield self._kind_of(str(descriptor.readlink()))

    def _kind_of(self, target: str) -> str:
        name, _, number = target.partition(":[")
        if name == "socket":
            return self._sockets.get(int(number[:-1]), "unix sockets")
        if target.endswith("(deleted)"):
            return "spools"
        return "pipes" if name == "pipe" else "kernel's own" if target.startswith("anon_inode:") else "files"


def command_of(pid: int) -> str:
    """Return a process's command line; nothing when it is gone or dead."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def _own_mib(root: Path) -> float:
    # Pages of files and of PostgreSQL's shared buffers come and go with what is touched; leaks are anonymous.
    for line in (root / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _parent(path: Path) -> int:
    return int(path.read_text().rpartition(")")[2].split()[1])


def _connections(name: str) -> Iterator[tuple[int, int, int, str]]:
    for line in Path(name).read_text().splitlines()[1:]:
        fields = line.split()
        local, remote = (int(fields[column].rpartition(":")[2], 16) for column in (1, 2))
        yield int(fields[9]), local, remote, fields[3]


def _kind(local: int, remote: int, state: str, own: Mapping[int, str], far: Mapping[int, str]) -> str:
    if local in own:
        return "listening sockets" if state == _LISTENING else own[local]
    return far.get(remote, "other sockets")
