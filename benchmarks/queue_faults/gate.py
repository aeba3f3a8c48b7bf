"""One worker's way to PostgreSQL: stops it at a named point, takes the connection from it there, or goes silent."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit

from benchmarks.queue_faults.wire import Conversation, asks_for_encryption


class Moment(StrEnum):
    """Where a call is caught."""

    ASKED = "asked"  # the call has not reached the server
    COMMITTING = "committing"  # the transaction has done its work, COMMIT has not reached the server
    COMMITTED = "committed"  # COMMIT is acknowledged, the worker does not know


class Trap:
    """Catches the first worker that reaches a point; whoever set it then decides whether the message passes."""

    def __init__(self, function: str, moment: Moment) -> None:
        self.function = function
        self.moment = moment
        self.caught: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._passes: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def decide(self, *, passes: bool) -> None:
        """Let the message go on, or end its connection."""
        if not self._passes.done():
            self._passes.set_result(passes)

    async def hold(self, worker: int) -> bool:
        """Tell who was caught and wait for the decision."""
        self.caught.set_result(worker)
        return await self._passes

    def wants(self, moment: Moment) -> bool:
        """Tell whether this is the moment, and nobody was caught yet."""
        return moment is self.moment and not self.caught.done() and not self._passes.done()


@dataclass
class _Line:
    """One connection: client's side and server's side."""

    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    server: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    withheld: Trap | None = None


class Gate:
    """Passes all messages of worker number `worker`, but for the one that `trap` is about."""

    def __init__(self, url: str, worker: int) -> None:
        self.trap: Trap | None = None
        self.url = ""
        self._target = urlsplit(url)
        self._worker = worker
        self._passable = asyncio.Event()
        self._passable.set()
        self._lines: set[asyncio.Task[None]] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, worker: int) -> AsyncIterator["Gate"]:
        """Listen on a port of our own and pass on to `url`."""
        gate = cls(url, worker)
        server = await asyncio.start_server(gate._take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        login = gate._target.netloc.rpartition("@")[0]
        netloc = f"{login}@127.0.0.1:{port}"
        gate.url = urlunsplit((gate._target.scheme, netloc, gate._target.path, "", ""))
        try:
            yield gate
        finally:
            server.close()
            for line in gate._lines:
                line.cancel()
            await asyncio.gather(*gate._lines, return_exceptions=True)

    def black_hole(self) -> None:
        """Take everything and pass nothing on, as a network does that loses its packets: no connection ends."""
        self._passable.clear()

    def mend(self) -> None:
        """Pass on again what was said meanwhile, as TCP then does."""
        self._passable.set()

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.create_task(self._connect(reader, writer))
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passable.wait()
        try:
            there = await asyncio.open_connection(self._target.hostname, self._target.port)
        except OSError:
            writer.transport.abort()
            return
        line = _Line((reader, writer), there)
        ways = {asyncio.create_task(self._ask(line)), asyncio.create_task(self._answer(line))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.transport.abort()
            there[1].transport.abort()

    async def _ask(self, line: _Line) -> None:
        reader, server = line.client[0], line.server[1]
        await _pass_startup(reader, server)
        conversation = Conversation()
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            said = conversation.hear(head[:1], body)
            if said is not None and not await self._may_pass(line, conversation, said):
                return
            await self._passable.wait()
            server.write(head + body)
            await server.drain()

    async def _answer(self, line: _Line) -> None:
        reader, client = line.server[0], line.client[1]
        while piece := await reader.read(65536):
            trap, line.withheld = line.withheld, None
            if trap is not None and not await trap.hold(self._worker):
                return
            await self._passable.wait()
            client.write(piece)
            await client.drain()

    async def _may_pass(self, line: _Line, conversation: Conversation, said: str) -> bool:
        trap = self.trap
        if trap is None:
            return True
        if f"{trap.function}(" in said and trap.wants(Moment.ASKED):
            return await trap.hold(self._worker)
        if said.startswith("COMMIT") and conversation.has_called(trap.function):
            if trap.wants(Moment.COMMITTING):
                return await trap.hold(self._worker)
            if trap.wants(Moment.COMMITTED):
                line.withheld = trap
        return True


async def _pass_startup(reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
    """Pass the messages that have no kind, up to the one that logs in."""
    while True:
        head = await reader.readexactly(4)
        body = await reader.readexactly(struct.unpack("!I", head)[0] - 4)
        server.write(head + body)
        await server.drain()
        if not asks_for_encryption(body):
            return
