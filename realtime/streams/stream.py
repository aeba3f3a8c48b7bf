"""The answer to one request for progress: headers, the missed events, and then the live ones."""

from collections.abc import MutableMapping
from typing import Any, Protocol, TypeAlias

from realtime.channels.sink import Sink
from realtime.channels.subscriber import Subscriber
from realtime.feed.catchup import CatchUp
from realtime.protocol import wire
from realtime.streams.multi_subscription import MultiSubscription
from realtime.transport.asgi import AsgiSink, Message, Receive, Send, send_within
from realtime.transport.connection import ConnectionSink

# What a server calls the offer to take a connection over; see gateway/server/connection_takeover.py.
EXTENSION = "scopekit.handover"
# A connection that was taken over ends with its stream; a proxy that was not told reuses it, and answers 502.
_CLOSE = (b"connection", b"close")

Head: TypeAlias = tuple[tuple[bytes, bytes], ...]


class StreamHub(Protocol):
    """A stream's interface to the hub: `realtime.hub`."""

    heartbeat_s: float
    catch_up: CatchUp

    def join(self, subscriber: Subscriber, sink: Sink, position: int) -> None:
        """Make a subscriber live that has everything up to `position`."""

    def join_all(self, multi: MultiSubscription, sink: Sink) -> None:
        """Make a stream of several visits live, none of its subscriptions behind."""

    def replayed(self, count: int, size: int) -> None:
        """Note that a stream was given `count` events, of `size` bytes, that it had missed."""


class ProgressStream:
    """The answer of a stream, which the hub takes over once it has replayed.

    `subscriber` was admitted before anything was read; `opening` is the stream's beginning, and the state it holds
    brings the client to `position`.
    """

    def __init__(self, hub: StreamHub, subscriber: Subscriber, *, opening: bytes, position: int) -> None:
        self._hub = hub
        self._subscriber = subscriber
        self.opening = opening
        self._position = position

    async def run(self, scope: MutableMapping[str, Any], receive: Receive, send: Send, *, head: Head | None) -> None:
        """Answer, replay, join; then hand the connection over, or stay until the end.

        With `head` None the head and the opening have been sent.
        """
        handed_over = False
        try:
            if head is not None and not await self._begin(scope, send, head):
                return
            await self._replay(send)
            handed_over = self._hand_over(scope)
            if not handed_over:
                await self._stay(receive, send)
        finally:
            if not handed_over:
                self._subscriber.lost()

    async def _begin(self, scope: MutableMapping[str, Any], send: Send, head: Head) -> bool:
        """Send the head, and the opening unless the head was all that was asked for; False then."""
        headers = [*head, _CLOSE] if EXTENSION in scope.get("extensions", {}) else [*head]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return False
        await self._send(send, self.opening)
        return True

    def _hand_over(self, scope: MutableMapping[str, Any]) -> bool:
        """Move to the bare connection where the server offers it; then this request is over."""
        offer = scope.get("extensions", {}).get(EXTENSION)
        if offer is None:
            return False
        sink = ConnectionSink(self._subscriber, patience_s=self._hub.heartbeat_s)
        if not offer["take"](sink):
            return False
        self._join(sink)
        return True

    async def _stay(self, receive: Receive, send: Send) -> None:
        sink = AsgiSink(send, self._subscriber)
        self._join(sink)
        await sink.run(receive)

    def _join(self, sink: Sink) -> None:
        self._hub.join(self._subscriber, sink, self._position)

    async def _replay(self, send: Send) -> None:
        count = size = 0
        while events := await self._hub.catch_up.page(self._subscriber.channel, self._position):
            body = wire.frames(events)
            count, size = count + len(events), size + len(body)
            await self._send(send, body)
            self._position = events[-1].seq
            if self._subscriber.ending:
                break
        if count:
            self._hub.replayed(count, size)

    async def _send(self, send: Send, body: bytes) -> None:
        # As long as a stalled reader is kept anywhere else.
        message: Message = {"type": "http.response.body", "body": body, "more_body": True}
        await send_within(2 * self._hub.heartbeat_s, send, message)


class StaticStream:
    """A stream that ends with these bytes."""

    def __init__(self, body: bytes = b"") -> None:
        self._body = body

    async def run(self, send: Send, head: Head) -> None:
        """Answer."""
        await send({"type": "http.response.start", "status": 200, "headers": [*head]})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


class BusyStream(StaticStream):
    """Says `busy`: an EventSource comes back after it, where any other status stops it for good."""

    def __init__(self, retry_ms: int) -> None:
        super().__init__(wire.refusal(retry_ms=retry_ms))
