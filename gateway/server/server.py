"""Runs the gateway, and lets its open streams go gently when it is told to stop."""

import asyncio
import socket
import sys
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from starlette.types import ASGIApp

from config.gc_tuning import collect_forever
from config.logging import get_logger
from config.settings import Settings
from gateway.server.connection_takeover import HandoverProtocol

if TYPE_CHECKING:
    from gateway.context import Context

_log = get_logger(__name__)

# SD_LISTEN_FDS_START.
INHERITED = 3
# For requests that are being answered when the window is over.
REST_SECONDS = 1
# uvicorn looks ten times a second whether it is to end: most of the wake-ups of a process with nothing to do.
TICK_SECONDS = 1.0
# How long a thread keeps the interpreter while the loop waits for it. With Python's 5 ms a request of six questions to
# the database took 15 to 30 ms while a price file was read beside it; with this it takes 2, and the file no longer.
SWITCH_SECONDS = 0.0001


class Server(uvicorn.Server):
    """Drains before it shuts down.

    uvicorn tells the application of its end only when every connection has closed, and an open stream never does. So
    the first signal starts the drain - readiness says no, new streams are refused softly, open ones are closed over a
    window - and the end follows it. A second signal ends at once.
    """

    def __init__(self, config: uvicorn.Config, *, drain_s: float) -> None:
        super().__init__(config)
        self._drain_s = drain_s
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Begin to shut down, without a drain."""
        self.should_exit = True
        self._ended.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Remember the loop, which a signal's handler must reach from outside."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def main_loop(self) -> None:
        """Keep the date of the answers right, and memory tidy, until the end is near."""
        ended = asyncio.ensure_future(self._ended.wait())
        collecting = asyncio.create_task(collect_forever(), name="garbage")
        while not await self.on_tick(0):
            await asyncio.wait((ended,), timeout=TICK_SECONDS)
        ended.cancel()
        collecting.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the drain; a second signal goes straight to uvicorn."""
        if self._loop is None or not self.started or self._draining is not None:
            super().handle_exit(sig, frame)
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._ended.set)
        else:
            self._captured_signals.append(sig)
            self._loop.call_soon_threadsafe(self._begin_drain)

    def _begin_drain(self) -> None:
        if self._draining is None and self._loop is not None:
            self._draining = self._loop.create_task(self._drain())

    async def _drain(self) -> None:
        context: Context | None = self.lifespan.state.get("context")
        try:
            if context is not None:
                _log.info("Draining", window_s=self._drain_s, **context.hub.stats())
                await context.hub.drain(self._drain_s)
        finally:
            self.end()


def serve(app: ASGIApp, settings: Settings) -> None:
    """Serve until a signal; returns when everything is closed.

    A socket that systemd holds goes on collecting connections while one process leaves and the next one starts.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    sockets = [socket.socket(fileno=INHERITED)] if settings.inherits_socket else None
    server_of(app, settings).run(sockets)


def server_of(app: ASGIApp, settings: Settings) -> Server:
    """Make the server of these settings."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=HandoverProtocol,
        ws="none",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        # Our own middleware logs each request without its query, where a ticket may stand.
        access_log=False,
        server_header=False,
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=REST_SECONDS,
    )
    return Server(config, drain_s=settings.drain_seconds)
