"""The SSRF guard: no packet goes to an address that is not public, whatever a name or a redirect says."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from httpcore import AsyncMockStream, AsyncNetworkBackend, AsyncNetworkStream

from store.webhooks.address_guard import AddressGuard, GuardedBackend
from store.webhooks.sender import Answer, open_sender

PUBLIC = "93.184.215.14"
FORBIDDEN = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "169.254.1.1", "169.254.169.254", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "2001:0:53aa:64c:0:0:80ff:fffe", "2001:db8::1",
]  # fmt: skip


class Wire(AsyncNetworkBackend):
    """Stands in for the network: notes where a connection would go, and answers with what a server would."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") -> None:
        self.connected: list[tuple[str, int]] = []
        self._answer = answer

    async def connect_tcp(self, host: str, port: int, *_more: Any, **_named: Any) -> AsyncNetworkStream:
        """Connect to nobody."""
        self.connected.append((host, port))
        return AsyncMockStream([self._answer])

    async def sleep(self, seconds: float) -> None:
        """Do not wait."""


class Names:
    """A resolver whose answers change from one question to the next."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = [*answers]
        self.asked = 0

    async def __call__(self, _host: str, _port: int) -> Sequence[str]:
        """Give the next answer; the last one stays."""
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def _post(names: Names, wire: Wire, guard: AddressGuard | None = None, times: int = 1) -> list[Answer]:
    guard = guard or AddressGuard()
    async with open_sender(guard, backend=GuardedBackend(guard, names, wire)) as sender:
        return [await sender.post("http://receiver.example/hook", b"{}", {}) for _ in range(times)]


@pytest.mark.parametrize("address", FORBIDDEN)
async def test_address_that_is_not_public_is_not_connected_to(address: str) -> None:
    """Alone, or beside a public one, in either order."""
    for answer in ([address], [PUBLIC, address], [address, PUBLIC]):
        wire = Wire()
        (told,) = await _post(Names(answer), wire)
        assert (told.status, wire.connected) == (None, [])
        assert told.error == "The address is not allowed: it is not public."


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14"])
async def test_public_address_is_connected_to_as_it_was_checked(address: str) -> None:
    """The connection goes to the address, not to the name: nobody resolves it once more."""
    wire, names = Wire(), Names([address])
    (told,) = await _post(names, wire)
    assert (told.status, told.taken) == (200, True)
    assert (wire.connected, names.asked) == ([(address, 80)], 1)


async def test_name_that_is_rebound_is_refused_at_the_next_connection() -> None:
    """Public when it is checked, loopback a moment later: the first goes where it was checked, the next nowhere."""
    wire = Wire(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    first, second = await _post(Names([PUBLIC], ["127.0.0.1"]), wire, times=2)
    assert first.taken
    assert second.status is None
    assert wire.connected == [(PUBLIC, 80)]


async def test_redirect_is_an_answer_and_not_followed() -> None:
    """To the address of a cloud's keys: one connection, and none there."""
    wire = Wire(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest/\r\ncontent-length: 0\r\n\r\n")
    (told,) = await _post(Names([PUBLIC]), wire)
    assert (told.status, told.error) == (302, "HTTP 302: redirects are not followed.")
    assert wire.connected == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]"]
)
async def test_odd_spellings_of_loopback_are_loopback(host: str) -> None:
    """The system's resolver reads them as what they mean."""
    wire, guard = Wire(), AddressGuard()
    async with open_sender(guard, backend=GuardedBackend(guard, inner=wire)) as sender:
        told = await sender.post(f"http://{host}:9/", b"{}", {})
    assert (told.status, wire.connected) == (None, [])


async def test_setting_opens_one_network_and_no_other() -> None:
    """What the operator names is reached."""
    guard = AddressGuard(["10.1.0.0/16"])
    wire = Wire()
    assert (await _post(Names(["10.1.2.3"]), wire, guard))[0].taken
    assert not (await _post(Names(["10.2.2.3"]), wire, guard))[0].taken
    assert wire.connected == [("10.1.2.3", 80)]


def test_operators_own_receiver_may_be_private_but_not_where_clouds_keep_keys() -> None:
    """ANALYTICS_URL is the operator's choice."""
    guard = AddressGuard(private=True)
    allowed = {address for address in [PUBLIC, *FORBIDDEN] if guard.allows(address)}
    assert {PUBLIC, "127.0.0.1", "10.1.2.3", "192.168.1.1", "::1", "fc00::1"} <= allowed
    assert (
        not {"169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254", "224.0.0.1", "0.0.0.0"} & allowed
    )


async def test_resolver_that_hangs_ends_with_the_deadline() -> None:
    """No answer in time is an answer."""

    async def hang(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    guard = AddressGuard()
    async with open_sender(guard, answer_s=0.05, backend=GuardedBackend(guard, hang, Wire())) as sender:
        told = await sender.post("http://receiver.example/", b"{}", {})
    assert told.error == "No answer within 0.05 s."
