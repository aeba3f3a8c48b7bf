"""Carries a stream on a connection that the HTTP server has handed over: no task, no request, only the socket."""

import asyncio
import contextlib
import os
import socket
from typing import cast

from realtime.channels.subscriber import Subscriber
from realtime.protocol.wire import LAST_CHUNK, Chunk

# A client has nothing to say on a stream; one that goes on talking is no EventSource.
UNHEARD_BYTES = 64 * 1024
NO_SOCKET = -1


class ConnectionSink(asyncio.Protocol):
    """Writes chunks of HTTP/1.1 to the socket, and to the transport the bytes the socket does not take.

    A socket with room costs one call of the kernel: the transport's own queue, and the memory it touches, are a sixth
    of a delivery. Only while the transport holds nothing may it be passed by, or bytes would overtake each other; under
    TLS, where it must encrypt, it never is. The response's head has been sent before.

    `patience_s` is how long the kernel waits for a client to acknowledge bytes before it gives it up. With one
    heartbeat of it, a client that vanished without a word is gone two heartbeats later: one at most until something is
    sent to it, and one of silence. TCP alone would take a quarter of an hour.
    """

    __slots__ = ("_behind", "_patience_s", "_paused", "_socket", "_subscriber", "_transport", "_unheard")

    _transport: asyncio.Transport

    def __init__(self, subscriber: Subscriber, *, patience_s: float) -> None:
        self._subscriber = subscriber
        self._patience_s = patience_s
        self._paused = False
        self._unheard = UNHEARD_BYTES
        self._socket = NO_SOCKET
        self._behind = True  # the response's head may still be in the transport

    def write(self, chunk: Chunk) -> bool:
        """See `Sink`."""
        framed = chunk.framed
        if self._behind and self._still_behind():
            self._transport.write(framed)
            return not self._paused
        try:
            taken = os.write(self._socket, framed)
        except BlockingIOError:
            taken = 0
        except OSError as error:  # the client is gone
            self._subscriber.lost(vanished=isinstance(error, TimeoutError))
            self.abort()
            return True
        return taken == len(framed) or self._leave_to_transport(framed[taken:])

    def finish(self, last: Chunk) -> None:
        """See `Sink`."""
        self._socket = NO_SOCKET
        self._transport.write(last.framed + LAST_CHUNK)
        self._transport.close()

    def abort(self) -> None:
        """See `Sink`."""
        self._socket = NO_SOCKET
        self._transport.abort()

    def _still_behind(self) -> bool:
        """Tell whether bytes must go by the transport: it holds some, or no socket may be written to beside it."""
        self._behind = self._socket == NO_SOCKET or self._transport.get_write_buffer_size() > 0
        return self._behind

    def _leave_to_transport(self, rest: bytes) -> bool:
        self._behind = True
        self._transport.write(rest)
        return not self._paused

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over."""
        self._transport = cast("asyncio.Transport", transport)
        raw = transport.get_extra_info("socket")
        if raw is None:
            return
        if transport.get_extra_info("sslcontext") is None:
            self._socket = raw.fileno()
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            with contextlib.suppress(OSError):  # a Unix socket has no TCP
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(self._patience_s * 1000))

    def data_received(self, data: bytes) -> None:
        """Ignore the client's bytes, but not for ever. Reading goes on, or its leaving would not be noticed."""
        self._unheard -= len(data)
        if self._unheard < 0:
            self._transport.abort()

    def eof_received(self) -> None:
        """Let asyncio close: a client that has said its last word is gone, as it is for the HTTP server."""

    def pause_writing(self) -> None:
        """Note that the client is behind by the transport's 64 KiB."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on with the bytes that wait for it."""
        self._paused = False
        self._subscriber.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the stream, and the socket before its number is given to another; a timeout is the kernel's."""
        self._socket = NO_SOCKET
        self._behind = True
        self._subscriber.lost(vanished=isinstance(exc, TimeoutError))
        # They hold each other, and with them a channel's window, until garbage is searched for, which is seldom.
        del self._subscriber
