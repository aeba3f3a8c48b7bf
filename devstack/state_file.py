"""Small things chosen once per data directory and kept: ports and secrets."""

from __future__ import annotations

import json
import os
import secrets
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LOOPBACK = "127.0.0.1"
# Below Linux's and macOS's ephemeral ranges, so that no outgoing connection takes a port between two runs.
# SeaweedFS dials its own parts at port + 10000, hence two windows.
FIRST_PORT, LAST_PORT = 15000, 22700
PAIR_OFFSET = 10000
ATTEMPTS = 500


class StateFile:
    """A JSON object of strings or numbers in a file only its owner can read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def secret(self, name: str, length: int = 32) -> str:
        """Return the secret of that name, made on first use (urlsafe text of `length` random bytes)."""
        values = self._read()
        if name not in values:
            values[name] = secrets.token_urlsafe(length)
            self._write(values)
        return str(values[name])

    def ports(self, names: tuple[str, ...], *, paired: frozenset[str] = frozenset()) -> dict[str, int]:
        """Return a free loopback port per name: the one of last time unless somebody else has it now."""
        chosen: dict[str, int] = {}
        for name in names:
            pair = name in paired
            taken = set(chosen.values()) | {port + PAIR_OFFSET for port in chosen.values()}
            chosen[name] = self._port(name, taken, pair=pair)
        return chosen

    def _port(self, name: str, taken: set[int], *, pair: bool) -> int:
        values = self._read()
        port = free_port(values.get(name), taken, pair=pair)
        if port != values.get(name):
            self._write(values | {name: port})
        return port

    def _read(self) -> dict[str, object]:
        try:
            values = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ValueError(f"{self.path} is not JSON: remove it and start again") from error
        return dict(values)

    def _write(self, values: dict[str, object]) -> None:
        """Write beside, then rename: a crash leaves the old file or the new one."""
        beside = self.path.with_suffix(".new")
        write_private(beside, json.dumps(values, indent=1))
        beside.replace(self.path)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def is_free(port: int) -> bool:
    """Say whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(old: object, taken: set[int], *, pair: bool) -> int:
    """Return the old port if it is still free, else a random free one."""
    candidates = [old] if isinstance(old, int) else []
    span = LAST_PORT - FIRST_PORT
    candidates += [FIRST_PORT + secrets.randbelow(span) for _ in range(ATTEMPTS)]
    for port in candidates:
        wanted = {port, port + PAIR_OFFSET} if pair else {port}
        if not wanted & taken and all(is_free(each) for each in wanted):
            return port
    raise OSError(f"no free port between {FIRST_PORT} and {LAST_PORT}")
