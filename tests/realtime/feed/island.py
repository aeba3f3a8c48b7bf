"""A network of its own, from which a host can vanish: no word of goodbye, and no answer to anything any more."""

import ctypes
import os
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Self

CLONE_NEWNET = 0x40000000
SERVER, CLIENT = "10.77.0.1", "10.77.0.2"


class NoIsland(OSError):
    """This machine does not let us make a network: it takes root, and iproute2."""


class Island:
    """A network namespace with two addresses. A thread stands in it; its sockets work from any other."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        """Make it. Raises `NoIsland`."""
        if shutil.which("ip") is None:
            raise NoIsland("iproute2 is not installed")
        self._thread.submit(_leave_the_mainland).result()
        self._ip("link", "set", "lo", "up")
        for address in (SERVER, CLIENT):
            self._ip("address", "add", f"{address}/32", "dev", "lo")
        return self

    def __exit__(self, *_exc: object) -> None:
        """Leave; the network goes with its last socket."""
        self._thread.shutdown()

    def socket(self) -> socket.socket:
        """Make a socket in this network."""
        return self._thread.submit(socket.socket).result()

    def vanish(self) -> None:
        """Take the client's host away: what is sent to it arrives nowhere."""
        self._ip("address", "del", f"{CLIENT}/32", "dev", "lo")

    def _ip(self, *words: str) -> None:
        command = ["ip", *words]
        self._thread.submit(subprocess.run, command, check=True, capture_output=True, timeout=10).result()


def _leave_the_mainland() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise NoIsland(os.strerror(ctypes.get_errno()))
