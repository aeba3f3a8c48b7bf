"""Another user of this machine who tries every door of a running stack: `python -m tests.devstack.stranger {json}`.

Takes `{"directory": PATH, "pids": {NAME: PID}, "ports": [PORT, ...], "sockets": [PATH, ...]}`, becomes uid 65534 where
it is root, and prints a JSON list of what was open to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import encodings.idna  # noqa: F401 - what a name lookup loads cannot be read later, below a directory of root
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from tests.devstack.harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NOBODY = 65534
PATHS = (
    *("/", "/dir/assign", "/dir/status", "/dir/lookup?volumeId=1", "/vol/status", "/cluster/status", "/status"),
    *("/buckets/", "/buckets/kept/a/b", "/metrics", "/debug/pprof/", "/ui/index.html", "/?Action=ListUsers"),
)
LOGINS = ("postgres", "scopekit_gateway", "scopekit_worker")
# An HTTP/2 connection begins with this, and gRPC answers with settings of its own.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
SETTINGS_FRAME = 4
PATIENCE_S = 5.0
AT_ONCE = 32


def open_to_a_stranger(told: dict[str, Any]) -> list[str]:
    """Let another user try all doors; those that were open."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.devstack.stranger", json.dumps(told)],
        cwd=ROOT,
        env={"HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def main(told: dict[str, Any]) -> list[str]:
    """Try everything."""
    become_nobody()
    return [
        *files(Path(told["directory"])),
        *(door for pid in told["pids"].values() for door in process(pid)),
        *(path for path in told["sockets"] if unix(path)),
        *ports(told["ports"]),
    ]


def become_nobody() -> None:
    """Leave root; a user who is not root tries without the secrets only."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def files(directory: Path) -> Iterator[str]:
    """Try to list the directory, and to read the files that are known to be there."""
    if os.geteuid() != NOBODY:
        return
    for path in (directory, directory / "secrets.json", directory / "s3.json", directory / "seaweed" / "weed.key"):
        with contextlib.suppress(OSError):
            path.stat() if path.is_file() else list(path.iterdir())
            yield str(path)


def process(pid: int) -> Iterator[str]:
    """Try the environment and the memory of a server; what its command line says is checked by the test."""
    for name in ("environ", "mem") if os.geteuid() == NOBODY else ():
        with contextlib.suppress(OSError), Path(f"/proc/{pid}/{name}").open("rb"):
            yield f"/proc/{pid}/{name}"


def unix(path: str) -> bool:
    """Try a unix socket."""
    if os.geteuid() != NOBODY:
        return False
    with socket.socket(socket.AF_UNIX) as door:
        try:
            door.connect(path)
        except OSError:
            return False
    return True


def ports(numbers: Sequence[int]) -> list[str]:
    """Try every protocol that any of the three speaks on each of these ports, side by side: most of it is waiting."""
    attempts: dict[str, Callable[[int], bool]] = {
        f"PostgreSQL as {login}": partial(postgres, login) for login in LOGINS
    }
    attempts |= {"Valkey": valkey, "gRPC": grpc, "TLS": tls}
    attempts |= {f"HTTP {path}": partial(page, path) for path in PATHS}
    tries = [(name, attempt, port) for port in numbers for name, attempt in attempts.items()]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        opened = threads.map(lambda one: _try(one[1], one[2]), tries)
        return [f"{port}: {name}" for (name, _attempt, port), is_open in zip(tries, opened, strict=True) if is_open]


def postgres(login: str, port: int) -> bool:
    """Sign in without a password."""
    return asyncio.run(_signs_in(port, login))


def valkey(port: int) -> bool:
    """Ask for anything but PONG."""
    return _says(port, b"INFO server\r\n").startswith(b"$")


def grpc(port: int) -> bool:
    """Begin HTTP/2 in clear."""
    answer = _says(port, PREFACE)
    return len(answer) > SETTINGS_FRAME and answer[3] == SETTINGS_FRAME


def tls(port: int) -> bool:
    """Shake hands without a certificate, and ask for a page."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as raw, context.wrap_socket(raw) as line:
        line.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return bool(line.recv(1))


def page(path: str, port: int) -> bool:
    """Ask for a page that says something."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status < http.client.BAD_REQUEST and bool(answer.read())
    finally:
        connection.close()


def _try(attempt: Callable[[int], bool], port: int) -> bool:
    try:
        return attempt(port)
    except (OSError, http.client.HTTPException):
        return False


def _says(port: int, words: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as line:
        line.sendall(words)
        return line.recv(64)


async def _signs_in(port: int, login: str) -> bool:
    try:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=port, user=login, database="postgres", timeout=PATIENCE_S
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        return False
    await connection.close()
    return True


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))))
