"""One owner per data directory: a lock that the kernel frees only when the owner and all its children are gone."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from typing import TYPE_CHECKING, Any, Self

from devstack.errors import AlreadyRunning, EmbeddedError
from devstack.process import ProcessIdentity, wait_until

if TYPE_CHECKING:
    from pathlib import Path

# PostgreSQL's shutdown checkpoint after a lost parent takes well under this on a laptop.
LEFTOVERS_GO_S = 15.0
KILLED_GO_S = 5.0
# An owner whose terminal or `make` has just been killed is told so a moment later.
SECOND_LOOK_S = 1.0
# Streams drain, jobs are handed back, servers write their checkpoints.
STOPPING_TAKES_S = 75.0


class DirectoryLock:
    """The right to use a data directory.

    The lock is an flock on an open file which children inherit: while any of them lives, nobody else gets in. The
    file's text names the owner: `{"owner": MARK, "note": str, "stopping": bool, "children": {NAME: MARK}}`; MARK is
    `{"pid": int, "started": str}`.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "lock"
        self._fd: int | None = None
        self._record: dict[str, Any] = {}

    @property
    def fd(self) -> int:
        """The descriptor that children inherit."""
        if self._fd is None:
            raise EmbeddedError(f"{self.path} is not held")
        return self._fd

    @property
    def is_held(self) -> bool:
        """Whether this process may use the directory."""
        return self._fd is not None

    def acquire(self, *, wait_s: float = LEFTOVERS_GO_S) -> None:
        """Take the lock, waiting for a crashed owner's leftovers to end.

        Raises AlreadyRunning when a live owner has it, EmbeddedError when leftovers do not go.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = self._open()
        try:
            if not self._try():
                self._outlast(wait_s)
        except BaseException:
            os.close(self._fd)
            self._fd = None
            raise
        self._record = {"owner": vars(ProcessIdentity.of(os.getpid())), "note": "", "stopping": False, "children": {}}
        self._write()

    def release(self) -> None:
        """Give the directory back; harmless when it is not held."""
        if self._fd is None:
            return
        self._record = {}
        self._write()
        os.close(self._fd)
        self._fd = None

    def note(self, text: str) -> None:
        """Write down a note for a second caller, such as the URL."""
        self._record["note"] = text
        self._write()

    def stopping(self) -> None:
        """Write down that the owner is about to leave, so that a second caller waits instead of giving up."""
        self._record["stopping"] = True
        self._write()

    def child(self, name: str, pid: int) -> None:
        """Write down a child, so that it can be ended should we be killed."""
        self._record["children"][name] = vars(ProcessIdentity.of(pid))
        self._write()

    def __enter__(self) -> Self:
        """Take the lock."""
        self.acquire()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Give it back."""
        self.release()

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError as error:
            raise EmbeddedError(
                f"{self.path.parent} belongs to another user (uid {self.path.parent.stat().st_uid}): run as that "
                "user, or set SCOPEKIT_DIR to a directory of your own",
            ) from error

    def _try(self) -> bool:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return self._is_current()

    def _is_current(self) -> bool:
        """Check that the locked file is still at the path; `make clean` may have removed it while we waited."""
        try:
            same = os.path.samestat(os.fstat(self.fd), self.path.stat())
        except FileNotFoundError:
            same = False
        if not same:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            stale, self._fd = self.fd, self._open()
            os.close(stale)
        return same

    def _outlast(self, wait_s: float) -> None:
        """Wait for an owner that stops and for a dead owner's children; end those that overstay."""
        wait_until(lambda: not self._owned(), SECOND_LOOK_S)
        self._refuse_if_owned()
        wait_until(lambda: not self._owner_lives(), STOPPING_TAKES_S)
        self._refuse_if_owned(even_stopping=True)
        if wait_until(self._try, wait_s):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            for mark in children(read(self.path)).values():
                mark.signal(number)
            if wait_until(self._try, min(wait_s, KILLED_GO_S)):
                return
        raise EmbeddedError(f"an earlier run's processes still hold {self.path}: {_alive(read(self.path))}")

    def _owner_lives(self) -> bool:
        holder = owner(read(self.path))
        return holder is not None and holder.alive()

    def _owned(self) -> bool:
        return self._owner_lives() and not read(self.path).get("stopping")

    def _refuse_if_owned(self, *, even_stopping: bool = False) -> None:
        record = read(self.path)
        holder = owner(record)
        if holder is not None and (self._owner_lives() if even_stopping else self._owned()):
            raise AlreadyRunning(
                f"ScopeKit already runs in {self.path.parent} as process {holder.pid}"
                f"{_said(record)}. `make stop` ends it.",
            )

    def _write(self) -> None:
        """Replace the text in place: renaming would leave the lock on a file nobody sees."""
        text = json.dumps(self._record).encode()
        os.pwrite(self.fd, text, 0)
        os.ftruncate(self.fd, len(text))


def read(path: Path) -> dict[str, Any]:
    """Return the content of the lock file; empty when there is none or it was torn by a crash."""
    try:
        record = json.loads(path.read_bytes() or b"{}")
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def owner(record: dict[str, Any]) -> ProcessIdentity | None:
    """Return the process that wrote a lock file."""
    found = record.get("owner")
    return ProcessIdentity(**found) if found else None


def children(record: dict[str, Any]) -> dict[str, ProcessIdentity]:
    """Return the children a lock file names."""
    return {name: ProcessIdentity(**mark) for name, mark in record.get("children", {}).items()}


def _alive(record: dict[str, Any]) -> str:
    alive = [f"{name} (pid {mark.pid})" for name, mark in children(record).items() if mark.alive()]
    return ", ".join(alive) or "none that it wrote down"


def _said(record: dict[str, Any]) -> str:
    note = record.get("note")
    return f" ({note})" if note else ""
