"""Carries a stream over any ASGI server: the hub itself drives each `send()`, so nobody has to be woken."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from typing import Any

from config.logging import get_logger
from realtime.channels.subscriber import Subscriber
from realtime.protocol.wire import Chunk

_log = get_logger(__name__)

# No server holds one message of a living client this long; the wheel cuts off stalled readers sooner.
HELD_SECONDS = 120.0

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class AsgiSink:
    """Writes through `send`: its coroutine ends at its first step unless the server holds it back.

    One that is held back belongs to a slow reader. Only then is a task made, to see that one message through.
    """

    def __init__(self, send: Send, subscriber: Subscriber) -> None:
        self._send = send
        self._subscriber = subscriber
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held: asyncio.Task[None] | None = None

    async def run(self, receive: Receive) -> None:
        """Stay until the stream has ended, by the hub's will or the client's."""
        watcher = asyncio.create_task(self._watch(receive))
        try:
            await self._done
        finally:
            watcher.cancel()
            if self._held is not None:
                self._held.cancel()

    def write(self, chunk: Chunk) -> bool:
        """See `Sink`."""
        return self._drive({"type": "http.response.body", "body": chunk.body, "more_body": True}, then=self._writable)

    def finish(self, last: Chunk) -> None:
        """See `Sink`."""
        if self._drive({"type": "http.response.body", "body": last.body, "more_body": False}, then=self._leave):
            self._leave()

    def abort(self) -> None:
        """See `Sink`. ASGI cannot drop a connection: the unfinished response makes the server close it."""
        self._leave()

    def _drive(self, message: Message, *, then: Callable[[], None]) -> bool:
        """Take one step of `send`; True when that was all."""
        if self._done.done():
            return True
        sending = self._send(message)
        assert isinstance(sending, Coroutine)  # noqa: S101 - ASGI's callables are coroutine functions
        try:
            waits_for = sending.send(None)
        except StopIteration:
            return True
        except Exception as error:  # noqa: BLE001 - whatever a server raises here, its client is gone
            _log.debug("Stream lost while writing", error=repr(error))
            self._subscriber.lost()
            self._leave()
            return True
        self._held = asyncio.get_running_loop().create_task(self._see_through(_Begun(sending, waits_for), then))
        return False

    async def _see_through(self, sending: "_Begun", then: Callable[[], None]) -> None:
        try:
            async with asyncio.timeout(HELD_SECONDS):
                await sending
        except Exception as error:  # noqa: BLE001 - as in _drive; or nothing was taken for too long
            _log.debug("Stream lost while writing", error=repr(error))
            self._subscriber.lost()
            self._leave()
            return
        self._held = None
        then()

    async def _watch(self, receive: Receive) -> None:
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._subscriber.lost()
            self._leave()

    def _writable(self) -> None:
        self._subscriber.writable()

    def _leave(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def send_within(seconds: float, send: Send, message: Message) -> None:
    """Send, with a deadline that is set only when the server holds the message back. Raises `TimeoutError`.

    Timers that were never needed were a twentieth of the cost of opening a stream.
    """
    sending = send(message)
    assert isinstance(sending, Coroutine)  # noqa: S101 - as in AsgiSink
    try:
        waits_for = sending.send(None)
    except StopIteration:
        return
    async with asyncio.timeout(seconds):
        await _Begun(sending, waits_for)


class _Begun:
    """A coroutine that has taken its first step outside a task, to be awaited from there on."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._waits_for
            yield from self._coroutine.__await__()
        finally:
            self._coroutine.close()
