"""A way to a server that a test can cut: refused, or open and silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Passes bytes between clients and one server until it is told otherwise."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """The database by way of this proxy."""
        netloc = f"{self._target.username}@127.0.0.1:{self.port}"
        return urlunsplit((self._target.scheme, netloc, self._target.path, "", ""))

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

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a client, or refuse it when we are cut or the server behind is away."""
        try:
            if self._refusing:
                raise ConnectionRefusedError
            there_reader, there_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        except OSError:
            writer.transport.abort()
            return
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            self._writers.add(sink)
            task = asyncio.create_task(self._pass(source, sink))
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)

    async def close(self) -> None:
        """Drop everything."""
        for task in list(self._passing):
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                while piece := await source.read(65536):
                    await self._open.wait()
                    sink.write(piece)
                    await sink.drain()
        finally:
            self._writers.discard(sink)
            sink.transport.abort()
            with suppress(ConnectionError):
                await sink.wait_closed()


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """Listen on a port of our own and pass on to `url`."""
    proxy = Proxy(url)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
        await server.wait_closed()
