"""uvicorn's HTTP protocol, with bounds on the bytes a client may make us hold, and for how long.

llhttp refuses heads that two servers could read differently: two Content-Lengths, one beside Transfer-Encoding, a bare
LF, a space before a colon. But it collects a head of any size for any time. Here it has a size, its lines a number, and
there is one Host. Whenever no answer is under way a deadline runs: for a head to be complete, for the rest of a body
that nobody waits for, for the next request. Bodies that are waited for have their own; see
`gateway.http.body.arriving`.
Whenever an answer is held up by its reader, the reader has to go on reading.
"""

import asyncio
import fcntl
import sys
import termios

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import is_ssl

from config.logging import get_logger
from gateway.server.framing import FramedProtocol, RequestRefused

_log = get_logger(__name__)

# Browsers and proxies send 2 KB; a token and cookies make 8.
HEAD_BYTES = 32 * 1024
URL_BYTES = 8 * 1024
MOST_HEADERS = 100
# A head fits a few packets: whoever needs longer is no browser on a bad line.
HEAD_SECONDS = 10.0
# For the rest of a body whose request was answered without it, so that a client hears the answer.
REST_SECONDS = 10.0
# For whoever has just connected to a process that leaves: their request may be on its way already.
LAST_WORD_SECONDS = 0.3
# Whoever reads an answer reads at least this much of it: GPRS does four times as well, and who reads nothing is gone.
READ_SECONDS, READ_BYTES = 60.0, 16 * 1024


_LONG_URL = RequestRefused(414, f"An address may have at most {URL_BYTES} bytes.")
_LONG_HEAD = RequestRefused(431, f"A request's head may have at most {HEAD_BYTES} bytes and {MOST_HEADERS} headers.")
_SLOW_HEAD = RequestRefused(408, f"The request's head was not complete within {HEAD_SECONDS:g} s.")
_HOSTS = RequestRefused(400, "A request names its host once.")


class BoundedProtocol(FramedProtocol):
    """Refuses by a problem document, and closes."""

    # Each connection begins with these, and has its own from where it departs from them.
    _head_bytes = 0
    _heard = False
    _leaving = False
    _deadline: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection over as uvicorn's own does, and expect a request soon.

        Its own makes two sockets only to ask them for the addresses, which the transport knows: 8 us a connection.
        """
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        self.server, self.client = _address(transport, "sockname"), _address(transport, "peername")
        self.scheme = "https" if is_ssl(transport) else "http"
        self._expect_within(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self.stop_clocks()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; bytes wholly within a head are counted before its lines are known."""
        self._head_bytes += len(data) if self._in_head or not self._body_ended else 0
        super().data_received(data)
        if self._head_bytes > HEAD_BYTES and (self._in_head or not self._body_ended):
            self.refuse(_LONG_HEAD if self.headers else _LONG_URL)
        elif self._deadline is None and self.is_idle:  # line ends between requests, which begin none
            self._expect_within(HEAD_SECONDS)

    def on_message_begin(self) -> None:
        """Expect the whole head soon."""
        super().on_message_begin()
        self._head_bytes = 0
        self._expect_within(HEAD_SECONDS)

    def on_body(self, body: bytes) -> None:
        """Take a piece: the bytes between two, chunks' extensions and trailers, are as bounded as a head."""
        self._head_bytes = 0
        super().on_body(body)

    def begin_request(self) -> None:
        """Let the application see it, or raise `Unfit`."""
        self._head_bytes = 0
        self._expect_nothing()
        self._require_fit()
        super().begin_request()
        self._heard = True
        if self._leaving:
            self.cycle.keep_alive = False

    def end_request(self) -> None:
        """Expect the next request, when this one was answered before its body was there."""
        super().end_request()
        if self.is_idle:
            self._expect_within(HEAD_SECONDS)

    def on_response_complete(self) -> None:
        """Expect the rest of a body that is still coming."""
        super().on_response_complete()
        if not self._body_ended and self.is_idle:
            self._expect_within(REST_SECONDS)

    def refuse(self, unfit: RequestRefused) -> None:
        """Refuse, and expect nothing more."""
        self._expect_nothing()
        super().refuse(unfit)

    def pause_writing(self) -> None:
        """Hold the answer up, and see whether its reader goes on."""
        super().pause_writing()
        self._look_again(self._unread())

    def resume_writing(self) -> None:
        """Go on."""
        self._leave_reader()
        super().resume_writing()

    def shutdown(self) -> None:
        """Leave, but answer connections that have not been heard yet: nobody else would."""
        if self._heard:
            super().shutdown()
            return
        self._leaving = True
        self._expect_within(LAST_WORD_SECONDS)

    def stop_clocks(self) -> None:
        """Expect nothing of this connection any more: it is over, or another's."""
        self._expect_nothing()
        self._leave_reader()

    def _expect_within(self, seconds: float) -> None:
        self._expect_nothing()
        self._deadline = self.loop.call_later(seconds, self._be_late)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _look_at_reader(self, before: int) -> None:
        """Cut off a reader that has read too little since `before` so many bytes were waiting."""
        waiting = self._unread()
        if before - waiting < READ_BYTES:
            _log.warning("An answer was not read", bytes=waiting)
            self.transport.abort()
        else:
            self._look_again(waiting)

    def _unread(self) -> int:
        """Count the bytes the reader has not acknowledged; the kernel alone takes megabytes before it asks for more."""
        here = self.transport.get_write_buffer_size()
        number = self.transport.get_extra_info("socket").fileno()
        if number < 0:  # just closed
            return here
        return here + int.from_bytes(fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def _look_again(self, waiting: int) -> None:
        self._reading = self.loop.call_later(READ_SECONDS, self._look_at_reader, waiting)

    def _leave_reader(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _be_late(self) -> None:
        self._deadline = None
        if not self.is_idle:  # an earlier request's answer is not to be cut for a later one
            self._expect_within(HEAD_SECONDS)
        elif self._in_head:
            self.refuse(_SLOW_HEAD)
        elif not self.transport.is_closing():
            self.transport.close()

    def _require_fit(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if len(self.url) > URL_BYTES:
            self.reject(_LONG_URL)
        if size > HEAD_BYTES or len(self.headers) > MOST_HEADERS:
            self.reject(_LONG_HEAD)
        if not self._names_one_host():
            self.reject(_HOSTS)

    def _names_one_host(self) -> bool:
        hosts = sum(name == b"host" for name, _ in self.headers)
        return hosts == 1 or (hosts == 0 and self.parser.get_http_version() == "1.0")


def _address(transport: asyncio.Transport, end: str) -> tuple[str, int] | None:
    found = transport.get_extra_info(end)
    return (found[0], found[1]) if isinstance(found, tuple) else None  # an IPv6 address has two more parts
