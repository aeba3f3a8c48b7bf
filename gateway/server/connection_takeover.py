"""uvicorn's HTTP protocol, with one more thing an application may do: take a connection over for good.

A stream held open as an ASGI request costs a task, a request cycle and an HTTP parser. A stream handed over costs
a transport and the application's own protocol. Offered in `scope["extensions"]` under `EXTENSION`; where
it is missing (any other server), the application answers as it always would.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.server.http_limits import BoundedProtocol
from realtime.streams.stream import EXTENSION

_CHUNKED = b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"


class HandoverProtocol(BoundedProtocol):
    """Offers `begin(head, body)` and `take(protocol)`; give it to uvicorn as `http=`."""

    def on_message_begin(self) -> None:
        """Begin a request as ever, and put the offer in its scope."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"begin": self.begin, "take": self.take}}

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the last request go: its scope holds the offer, and so this.

        Garbage is searched for rarely here (`gateway.server`), and 26 objects a connection would wait for it.
        """
        super().connection_lost(exc)
        nothing: Any = None
        self.cycle = self.scope = nothing

    def begin(self, head: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Begin a chunked answer, 200, with this head and the first of its body, in one write.

        As if the application had sent them: the rest goes the usual way. False, and nothing has changed, when the
        client is gone, speaks HTTP/1.0, has more requests waiting on this connection, or has an answer that has begun.
        """
        cycle = self.cycle
        if self.scope["http_version"] != "1.1" or self.pipeline:
            return False
        if cycle.response_started or cycle.disconnected or self.transport.is_closing():
            return False
        cycle.response_started = cycle.chunked_encoding = True
        cycle.keep_alive = False  # whoever takes the connection closes it
        cycle.waiting_for_100_continue = False
        lines = b"".join([b"%b: %b\r\n" % header for header in (*self.server_state.default_headers, *head)])
        first = b"%x\r\n%b\r\n" % (len(body), body)
        self.transport.write(b"".join((STATUS_LINE[200], lines, _CHUNKED, first)))
        return True

    def take(self, protocol: asyncio.Protocol) -> bool:
        """Let `protocol` have the connection, once the response's head and any first chunks have been sent.

        The body is chunked and stays open; its end is the new owner's to write. The request's task may then return.
        False, and nothing has changed, when the client is gone, more requests are waiting on this connection, or the
        response is not of a kind that can be continued.
        """
        cycle = self.cycle
        continued = cycle.response_started and not cycle.response_complete and cycle.chunked_encoding
        if self.pipeline or not continued or cycle.disconnected or self.transport.is_closing():
            return False
        transport, paused = self.transport, self.flow.write_paused
        self.flow.resume_reading()  # or the client's leaving would not be noticed
        self._let_go()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if paused:
            protocol.pause_writing()
        return True

    def _let_go(self) -> None:
        """Leave uvicorn's books as if the response were complete, and keep nothing of the connection alive."""
        self._unset_keepalive_if_required()
        self.stop_clocks()
        self.connections.discard(self)
        self.server_state.total_requests += 1
        self.cycle.response_complete = True
        self.cycle.message_event.set()  # whoever waits in receive() hears of a disconnect
        nothing: Any = None
        self._answering = self.cycle = self.scope = self.headers = self.parser = self.flow = self.transport = nothing
