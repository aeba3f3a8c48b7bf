"""A client of a stream: it reads all the time, and a test waits for what it wants to see, with a deadline."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import httpx

from tests.realtime.client.eventsource import EventStream, Message
from tests.support.event_contract import violations_of_stream

SECONDS = 30.0  # a deadline for a busy machine, not a promise of ours


async def eventually(check: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until something that tells nobody becomes true, looking every few milliseconds."""
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110 - that is its purpose
            await asyncio.sleep(0.005)


def path(visit: UUID) -> str:
    """Return the address of a visit's stream."""
    return f"/v1/visits/{visit}/progress"


def is_open(watcher: "Watcher") -> bool:
    """Tell whether `open` has come."""
    return bool(watcher.named("hello"))


class Watcher:
    """An open stream. `stream` is what has come; `closed` is set when it is over, `broken` when not by its end."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.stream = EventStream()
        self.closed = asyncio.Event()
        self.broken = False
        self.violations: set[str] = set()
        self._changed = asyncio.Condition()

    @property
    def events(self) -> list[Message]:
        """Unnamed messages that are rows of the table."""
        messages = [message for message in self.stream.messages if message.event == "message"]
        return [message for message in messages if message.json["type"] != "snapshot"]

    @property
    def seqs(self) -> list[int]:
        """The seq of each event, in the order they came."""
        return [int(message.id) for message in self.events]

    def named(self, name: str) -> list[Message]:
        """The control events of one name."""
        return [message for message in self.stream.messages if message.event == name]

    async def read(self) -> None:
        """Read to the end."""
        try:
            async for chunk in self.response.aiter_raw():
                before = len(self.stream.messages)
                self.stream.feed(chunk)
                new = self.stream.messages[before:]
                self.violations |= set(violations_of_stream((message.event, message.json) for message in new))
                await self._tell()
        except httpx.TransportError:
            self.broken = True
        finally:
            self.closed.set()
            await self._tell()

    async def until(self, wanted: Callable[["Watcher"], object]) -> None:
        """Wait until `wanted` is true of what has come; fails with what there is."""
        try:
            async with asyncio.timeout(SECONDS), self._changed:
                await self._changed.wait_for(lambda: wanted(self))
        except TimeoutError:
            raise AssertionError(f"Not within {SECONDS} s; so far: {self.stream.messages[-5:]}") from None

    async def until_seq(self, seq: int) -> None:
        """Wait for the event with this seq."""
        await self.until(lambda watcher: watcher.stream.last_event_id and int(watcher.stream.last_event_id) >= seq)

    async def until_closed(self) -> None:
        """Wait for the server to end the stream."""
        await self.until(lambda watcher: watcher.closed.is_set())

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def watch(
    base_url: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    last_id: int | str | None = None,
    verify: ssl.SSLContext | bool = True,
    http2: bool = False,
) -> AsyncIterator[Watcher]:
    """Open a stream and read it until the block is left; each message has to be as the contract describes it."""
    sent = dict(headers or {})
    if last_id is not None:
        sent["last-event-id"] = str(last_id)
    timeout = httpx.Timeout(SECONDS, read=None)
    async with (
        httpx.AsyncClient(base_url=base_url, timeout=timeout, verify=verify, http2=http2) as client,
        client.stream("GET", path, headers=sent) as response,
    ):
        watcher = Watcher(response)
        reading = asyncio.create_task(watcher.read())
        try:
            yield watcher
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        assert not watcher.violations, watcher.violations
