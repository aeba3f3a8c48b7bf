"""Carries a stream on a connection that the HTTP server has handed over: no task, no request, only the socket."""

import asyncio
import contextlib
import socket
from typing import cast

from realtime.subscriber import Subscriber
from realtime.wire import LAST_CHUNK, Chunk

# A client has nothing to say on a stream; one that goes on talking is no EventSource.
UNHEARD_BYTES = 64 * 1024


class ConnectionSink(asyncio.Protocol):
    """Writes chunks of HTTP/1.1 straight to the transport. The response's head has been sent before.

    `patience_s` is how long the kernel waits for a client to acknowledge what was sent before it gives it up. With one
    heartbeat of it, a client that vanished without a word is gone two heartbeats later: one at most until something is
    sent to it, and one of silence. TCP alone would take a quarter of an hour.
    """

    __slots__ = ("_patience_s", "_paused", "_subscriber", "_transport", "_unheard")

    _transport: asyncio.Transport

    def __init__(self, subscriber: Subscriber, *, patience_s: float) -> None:
        self._subscriber = subscriber
        self._patience_s = patience_s
        self._paused = False
        self._unheard = UNHEARD_BYTES

    def write(self, chunk: Chunk) -> bool:
        """See `Sink`."""
        self._transport.write(chunk.framed)
        return not self._paused

    def finish(self, last: Chunk) -> None:
        """See `Sink`."""
        self._transport.write(last.framed + LAST_CHUNK)
        self._transport.close()

    def abort(self) -> None:
        """See `Sink`."""
        self._transport.abort()

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over."""
        self._transport = cast("asyncio.Transport", transport)
        raw = transport.get_extra_info("socket")
        if raw is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            with contextlib.suppress(OSError):  # a Unix socket has no TCP
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(self._patience_s * 1000))

    def data_received(self, data: bytes) -> None:
        """Ignore what a client says, but not for ever. Reading goes on, or its leaving would not be noticed."""
        self._unheard -= len(data)
        if self._unheard < 0:
            self._transport.abort()

    def eof_received(self) -> None:
        """Let asyncio close: a client that has said its last word is gone, as it is for the HTTP server."""

    def pause_writing(self) -> None:
        """Note that the client is behind by the transport's 64 KiB."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on with what waits for it."""
        self._paused = False
        self._subscriber.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the stream; a timeout is the kernel's, see above."""
        self._subscriber.lost(vanished=isinstance(exc, TimeoutError))
