"""A way to a server that a test can cut: refused, open and silent, or broken off after so many bytes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Passes bytes between clients and one server until it is told otherwise."""

    def __init__(self, url: str) -> None:
        self.point_to(url)
        # How many bytes each next connection may carry to the server before it is broken off.
        self.allowances: list[int] = []
        self.before_breaking: Callable[[], Awaitable[None]] | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """The server by way of this proxy."""
        login, at, _server = self._target.netloc.rpartition("@")
        return urlunsplit((self._target.scheme, f"{login}{at}127.0.0.1:{self.port}", self._target.path, "", ""))

    @property
    def passes(self) -> bool:
        """Whether bytes go through."""
        return self._open.is_set()

    def point_to(self, url: str) -> None:
        """Send whoever connects from now on to another server."""
        self._target = urlsplit(url)

    def black_hole(self) -> None:
        """Pass nothing on any more, and close nothing."""
        self._open.clear()

    def cut(self) -> None:
        """Close every connection and refuse new ones."""
        self._refusing = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Pass everything again."""
        self._refusing = False
        self._open.set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a client."""
        self._start(self._connect(reader, writer))

    async def close(self) -> None:
        """Drop everything."""
        while passing := list(self._passing):
            for task in passing:
                task.cancel()
            await asyncio.gather(*passing, return_exceptions=True)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Find the server behind, or refuse the client when we are cut or that server is away."""
        try:
            if self._refusing:
                raise ConnectionRefusedError
            there_reader, there_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        allowance = self.allowances.pop(0) if self.allowances else None
        for source, sink, most in ((reader, there_writer, allowance), (there_reader, writer, None)):
            self._writers.add(sink)
            self._start(self._pass(source, sink, most))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, most: int | None) -> None:
        left = most
        try:
            with suppress(ConnectionError):
                while piece := await source.read(65536 if left is None else min(65536, left)):
                    await self._open.wait()
                    sink.write(piece)
                    await sink.drain()
                    left = None if left is None else left - len(piece)
            if left == 0 and self.before_breaking is not None:
                await self.before_breaking()
        finally:
            self._writers.discard(sink)
            sink.transport.abort()
            with suppress(ConnectionError):
                await sink.wait_closed()


@asynccontextmanager
async def proxy_to(url: str, port: int = 0) -> AsyncIterator[Proxy]:
    """Listen on `port`, or on one of our own, and pass on to `url`."""
    proxy = Proxy(url)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", port)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
        await server.wait_closed()
