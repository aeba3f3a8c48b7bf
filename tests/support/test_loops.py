"""The loop that tests run on."""

import asyncio
import socket

import pytest

from tests.support.loops import CheckedLoop


async def _connect(server: socket.socket) -> asyncio.BaseTransport:
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, *server.getsockname())
    return transport


def test_a_forgotten_connection_is_told_and_holds_nobody_up() -> None:
    """An error, as every warning, and the loop is closed all the same."""
    loop = CheckedLoop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        _forgotten = loop.run_until_complete(_connect(server))
        with pytest.raises(ResourceWarning, match="unclosed"):
            loop.close()
    assert loop.is_closed()
