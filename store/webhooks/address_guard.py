"""The SSRF guard: which addresses a request to somebody else's URL may reach, and a connector that reaches no others.

The connector resolves a name, checks every address that it has, and connects to one that was checked: what the name
resolves to a moment later does not count. A name with one forbidden address is refused whole.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from httpcore import SOCKET_OPTION, AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream, ConnectError

Address: TypeAlias = IPv4Address | IPv6Address
# Gives the addresses of a host's name, as text.
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

# NAT64 (RFC 6052): the last four bytes are the IPv4 address behind it.
_NAT64 = IPv6Network("64:ff9b::/96")
# All of IPv6 that is given to anybody; what lies outside is old, reserved or local.
_UNICAST = IPv6Network("2000::/3")
# Forbidden to everybody, also where private networks are allowed: clouds keep their machines' keys there.
_LINK_LOCAL = (ip_network("169.254.0.0/16"), ip_network("fe80::/10"), ip_network("fd00:ec2::254/128"))
TRIED = 4


class AddressNotAllowed(ConnectError):
    """The host has an address that may not be reached."""


class AddressGuard:
    """Addresses that may be reached: public ones, and the networks of a setting; `private` opens all private ones."""

    def __init__(self, networks: Iterable[str] = (), *, private: bool = False) -> None:
        self._networks = tuple(ip_network(network) for network in networks)
        self._private = private

    def allows(self, text: str) -> bool:
        """Tell whether an address may be reached. Pure."""
        address = _plain(ip_address(text.partition("%")[0]))
        if any(address in network for network in self._networks):
            return True
        if address.is_multicast or address.is_unspecified or any(address in network for network in _LINK_LOCAL):
            return False
        if self._private and address.is_private:
            return True
        return address.is_global and (isinstance(address, IPv4Address) or address in _UNICAST)

    @property
    def allows_plain_http(self) -> bool:
        """Whether a URL may do without TLS: inside the networks of the setting alone."""
        return bool(self._networks)


class GuardedBackend(AsyncNetworkBackend):
    """Connects to checked addresses alone. Raises `AddressNotAllowed`; no packet is sent then."""

    def __init__(
        self, guard: AddressGuard, resolve: Resolve | None = None, inner: AsyncNetworkBackend | None = None
    ) -> None:
        self._guard = guard
        self._resolve = resolve or system_addresses
        self._inner = inner or AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        """Resolve, check, and connect to the first address that answers."""
        addresses = await self._checked(host, port, timeout)
        for last, address in enumerate(addresses, 1 - len(addresses)):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except ConnectError:
                if last == 0:
                    raise
        raise ConnectError("The name has no address.")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._inner.sleep(seconds)

    async def _checked(self, host: str, port: int, timeout_s: float | None) -> Sequence[str]:
        try:
            async with asyncio.timeout(timeout_s):
                addresses = await self._resolve(host, port)
            allowed = all(self._guard.allows(address) for address in addresses)
        except (OSError, UnicodeError, ValueError) as error:
            raise ConnectError("The name was not resolved.") from error
        if not allowed:
            raise AddressNotAllowed("The address is not public.")
        return addresses[:TRIED]


async def system_addresses(host: str, port: int) -> list[str]:
    """Resolve as the system does; odd spellings of an address, such as `0x7f.1`, come out as what they mean."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _plain(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, else itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address
