"""compose's networks, made of Linux network namespaces: one namespace a service, one bridge a network."""

import ctypes
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


class Networks:
    """Namespaces of this process's own; `members` are the networks of each service.

    Every service has an address on each of its networks and reaches only services of the same network.
    """

    def __init__(self, members: Mapping[str, Sequence[str]], subnets: Mapping[str, str]) -> None:
        self._members = members
        self._prefix = f"sk{os.getpid()}"
        self._made: list[str] = []
        self._addresses: dict[tuple[str, str], str] = {}
        self._subnets = subnets

    def make(self) -> None:
        """Make all of them. Needs root."""
        hub = self._namespace("net")
        for network in self._subnets:
            _ip("-n", hub, "link", "add", network, "type", "bridge")
            _ip("-n", hub, "link", "set", network, "up")
        for number, (service, networks) in enumerate(sorted(self._members.items())):
            space = self._namespace(service)
            _ip("-n", space, "link", "set", "lo", "up")
            for network in networks:
                self._connect(hub, space, network, (service, number))

    def remove(self) -> None:
        """Remove all of them."""
        for space in self._made:
            subprocess.run(["ip", "netns", "del", space], check=False)

    def enter(self, service: str) -> Callable[[], None]:
        """Return a function that moves a child into a service's namespace before it starts its program."""
        path = f"/run/netns/{self._prefix}-{service}"

        def move() -> None:
            place = os.open(path, os.O_RDONLY)
            if _LIBC.setns(place, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"cannot enter {path}")
            os.close(place)

        return move

    def hosts(self, service: str, directory: Path, aliases: Mapping[str, str]) -> Path:
        """Write the /etc/hosts of a service: all that share a network with it; `aliases` as {name: service}."""
        lines = ["127.0.0.1 localhost"]
        for network in self._members[service]:
            for other, networks in self._members.items():
                if network in networks:
                    names = [other, *(alias for alias, of in aliases.items() if of == other)]
                    lines.append(f"{self._addresses[other, network]} {' '.join(names)}")
        file = directory / f"hosts.{service}"
        file.write_text("\n".join(lines) + "\n")
        return file

    def address(self, service: str, network: str) -> str:
        """Return a service's address on a network."""
        return self._addresses[service, network]

    def _namespace(self, name: str) -> str:
        space = f"{self._prefix}-{name}"
        _ip("netns", "add", space)
        self._made.append(space)
        return space

    def _connect(self, hub: str, space: str, network: str, member: tuple[str, int]) -> None:
        service, number = member
        address = self._subnets[network].replace(".0/", f".{number + 10}/")
        port = f"p{number}{network}"[:15]
        _ip("link", "add", port, "netns", hub, "type", "veth", "peer", "name", network, "netns", space)
        _ip("-n", hub, "link", "set", port, "master", network, "up")
        _ip("-n", space, "addr", "add", address, "dev", network)
        _ip("-n", space, "link", "set", network, "up")
        self._addresses[service, network] = address.partition("/")[0]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
