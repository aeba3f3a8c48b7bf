"""Takes a helper's place and tries what a hostile file would try: `python -m tests.store.sandbox.sandbox_probe`.

Its argument names the helper; walls to go without follow. It answers each file, which says what to try, with all that
it got.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import typst

from jobs.kinds.estimate.engines import model_process as helper_process
from store.documents import typeset
from store.media.decoder import media_process as decode_worker
from store.sandbox import confinement, landlock, namespaces, seccomp

_SEIZE = 0x4206  # attaching, without stopping the process


def loot(wanted: dict[str, Any]) -> dict[str, str]:
    """Try everything; returns what worked, by name."""
    got = {}
    for name, attempt in attempts(wanted):
        try:
            found = attempt()
        except (OSError, LookupError, ImportError, subprocess.SubprocessError):
            continue
        if found:
            got[name] = repr(found)[:80]
    return got


def attempts(wanted: dict[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield every way out: each returns something when it leads anywhere."""
    parent = wanted["parent"]
    for pid in (*range(1, 40), *range(parent - 20, parent + 40)):
        yield f"environ of {pid}", Path(f"/proc/{pid}/environ").read_bytes
        yield f"memory of {pid}", partial(opens, f"/proc/{pid}/mem")
    yield "memory by call", lambda: peek(parent)
    yield "ptrace", lambda: ctypes.CDLL(None).ptrace(_SEIZE, parent, 0, 0) == 0
    yield "signal", lambda: may_signal(parent)
    yield "loopback", lambda: connect(socket.AF_INET, ("127.0.0.1", wanted["port"]))
    yield "datagram", lambda: send(("127.0.0.1", wanted["port"]))
    yield "abstract socket", lambda: connect(socket.AF_UNIX, "\0" + wanted["abstract"])
    if wanted.get("no_socket_at_all"):
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):
            yield f"socket {family}", partial(socket.socket, family, socket.SOCK_DGRAM)
    for path in wanted["files"]:
        yield f"read {path}", Path(path).read_bytes
        yield f"list {path}", partial(os.listdir, Path(path).parent)
    for place in ("/tmp", "/dev/shm", "/var/tmp", ".", "/"):  # noqa: S108 - nothing is left there
        yield f"write {place}", partial(writes, place)
    yield "fork", lambda: os.fork() or os._exit(0)
    yield "shell", lambda: subprocess.run(["/bin/sh", "-c", "echo out"], capture_output=True, check=True).stdout
    if not wanted.get("stays"):
        yield "exec", lambda: os.execv("/bin/sh", ["sh", "-c", "exit 7"])  # noqa: S606
    yield "system", lambda: os.system("exit 7") >> 8 == 7  # noqa: S605
    yield "descriptors", lambda: [fd for fd in range(3, 64) if is_open(fd)]


def opens(path: str) -> bool:
    """Open a file."""
    with Path(path).open("rb"):
        return True


def writes(place: str) -> bool:
    """Make a file here, and take it away again."""
    file = Path(place, "scopekit-probe")
    file.touch()
    file.unlink()
    return True


def may_signal(pid: int) -> bool:
    """Tell whether a process could be sent a signal."""
    os.kill(pid, 0)
    return True


def connect(family: socket.AddressFamily, address: Any) -> bool:
    """Reach a service of this machine."""
    with socket.socket(family) as caller:
        caller.settimeout(2)
        caller.connect(address)
        return True


def send(address: tuple[str, int]) -> bool:
    """Send a datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        return caller.sendto(b"x", address) > 0


def is_open(descriptor: int) -> bool:
    """Tell whether something is open here."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def peek(pid: int) -> bool:
    """Read a byte of another process, wherever its heap may be: EFAULT is as good as a byte."""
    vector = (ctypes.c_void_p * 2)(4096, 1)
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.process_vm_readv(pid, vector, 1, vector, 1, 0) >= 0 or ctypes.get_errno() == 14


def _refuse(*_: object, **__: object) -> None:
    raise OSError


def main() -> None:
    """Become the helper, without the walls that are named."""
    for wall in sys.argv[2:]:
        module, name = {
            "namespaces": (namespaces, "leave"),
            "landlock": (landlock, "restrict"),
            "capabilities": (confinement, "_drop_capabilities"),
            "seccomp": (seccomp, "restrict"),
        }[wall]
        setattr(module, name, _refuse)
    match sys.argv[1]:
        case "decoder":
            decode_worker._TASKS["check"] = _answer_check
            decode_worker.main()
        case "model":
            setattr(helper_process, "work", _answer_work)  # noqa: B010 - mypy knows the real one
            helper_process.main()
        case "typesetter":
            setattr(typst, "compile", _answer_compile)  # noqa: B010
            typeset.main()


def _answer_check(files: list[bytes], request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    return {"outcome": "checked", "findings": {"problem": json.dumps(loot(json.loads(files[0])))}}, b""


def _answer_work(_head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    return {"problem": json.dumps(loot(json.loads(body)))}, b""


def _answer_compile(_file: Path, *, root: Path, sys_inputs: dict[str, str]) -> bytes:
    return json.dumps(loot(json.loads(sys_inputs["values"]))).encode()


if __name__ == "__main__":
    main()
