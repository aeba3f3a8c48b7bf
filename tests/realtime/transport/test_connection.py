"""What a stream's connection does with a socket that is full, and with one it may not write to itself."""

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from realtime.channels.channel import Channel
from realtime.channels.subscriber import Subscriber
from realtime.protocol.wire import LAST_CHUNK, Chunk
from realtime.transport.connection import ConnectionSink
from tests.realtime.feed.watcher import eventually

PIECE = 20_000


def subscriber() -> Subscriber:
    """Make a stream of nobody's."""
    return Subscriber(Channel("x"), tenant_id="t", user_id="u", expires_at=float("inf"), on_end=lambda _stream: None)


@asynccontextmanager
async def connected(head: bytes = b"") -> AsyncIterator[tuple[ConnectionSink, socket.socket]]:
    """Give a sink on a TCP connection with small buffers, `head` still in its transport, and the client's socket."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, listener.getsockname())
    accepted, _ = listener.accept()
    sink = ConnectionSink(subscriber(), patience_s=60)
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, accepted)
    transport.write(head)
    transport.set_protocol(sink)
    sink.connection_made(transport)
    try:
        yield sink, client
    finally:
        transport.abort()
        client.close()
        listener.close()
        await eventually(lambda: not hasattr(sink, "_subscriber"))


async def read_to_end(client: socket.socket) -> bytes:
    """Read until the server closes."""
    received = bytearray()
    async with asyncio.timeout(10):
        while piece := await asyncio.get_running_loop().sock_recv(client, 65536):
            received += piece
    return bytes(received)


def numbered(count: int) -> list[Chunk]:
    """Make chunks that tell their place in every byte of theirs."""
    return [Chunk(b"%06d" % number * (PIECE // 6)) for number in range(count)]


async def test_what_a_full_socket_does_not_take_comes_in_order() -> None:
    """Through the head, a chunk cut in two by a full socket, what is queued behind it, and a socket free again."""
    chunks = numbered(12)
    async with connected(head=b"HEAD") as (sink, client):
        asked_to_stop = [sink.write(chunk) for chunk in chunks[:8]]
        assert not asked_to_stop[-1], "the socket was to fill up"
        reading = asyncio.create_task(read_to_end(client))
        await eventually(lambda: sink._transport.get_write_buffer_size() == 0)
        for chunk in chunks[8:11]:
            sink.write(chunk)
        sink.finish(chunks[11])
        received = await reading
    assert received == b"HEAD" + b"".join(chunk.framed for chunk in chunks) + LAST_CHUNK


async def test_a_socket_with_room_is_written_to_without_the_transport() -> None:
    """Once the head is out, nothing is left with the transport: the client has the chunk when `write` returns."""
    [first, second] = [Chunk(b"first"), Chunk(b"second")]
    async with connected(head=b"HEAD") as (sink, client):
        assert sink.write(first)
        await eventually(lambda: sink._transport.get_write_buffer_size() == 0)
        assert sink.write(second)
        assert sink._transport.get_write_buffer_size() == 0
        sink.finish(Chunk(b""))
        assert (await read_to_end(client)).startswith(b"HEAD" + first.framed + second.framed)


@pytest.mark.parametrize(
    "end", [ConnectionSink.abort, lambda sink: sink.finish(Chunk(b"bye"))], ids=["abort", "finish"]
)
async def test_an_ended_connection_never_writes_to_a_socket_that_took_its_number(
    end: Callable[[ConnectionSink], None],
) -> None:
    """The kernel gives a closed socket's number to the next one at once; a late write must not reach a stranger."""
    async with connected() as (sink, client):
        number = sink._socket
        end(sink)
        await eventually(lambda: not hasattr(sink, "_subscriber"))
        strangers = [side for _ in range(8) for side in socket.socketpair()]
        assert number in {stranger.fileno() for stranger in strangers}
        with pytest.raises(RuntimeError, match="closed"):
            sink.write(Chunk(b"secret"))
        for stranger in strangers:
            stranger.setblocking(False)
            with pytest.raises(BlockingIOError):
                stranger.recv(1)
        for stranger in strangers:
            stranger.close()
        client.close()


async def test_a_client_that_is_gone_ends_its_stream_and_harms_nobody() -> None:
    """Writing to a connection that was reset raises nothing, asks nobody to wait, and the stream is forgotten."""
    async with connected() as (sink, client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        for chunk in numbered(4):
            sink.write(chunk)
        await eventually(lambda: not hasattr(sink, "_subscriber"))


def test_a_stream_whose_connection_is_lost_is_gone_at_once() -> None:
    """With its channel and the events kept there: nobody has to search for what holds itself."""
    gc.disable()
    try:
        stream = subscriber()
        sink = ConnectionSink(stream, patience_s=60)
        stream.go_live(sink)
        left = weakref.ref(stream)
        del stream
        sink.connection_lost(None)
        del sink
        assert left() is None
    finally:
        gc.enable()
