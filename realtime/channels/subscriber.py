"""One open stream, as the hub sees it: the events it may be given, and when it has had enough."""

from typing import TYPE_CHECKING

from realtime.channels.backlog import Backlog
from realtime.channels.channel import Channel
from realtime.channels.sink import Sink
from realtime.protocol.events import Event
from realtime.protocol.wire import HEARTBEAT, Chunk

if TYPE_CHECKING:
    from collections.abc import Callable


class Subscriber:
    """A stream from its admission to its end.

    opening -> live -> ended, where live may be slow for a while: then events wait in its own bounded backlog, and a
    reader that lets that run full, or takes nothing between two heartbeats, is cut off to resume from the table.
    `expires_at` is in epoch seconds; `session_id` is that of a stream which a session's cookie opened.
    """

    __slots__ = (
        "__weakref__",
        "_backlog",
        "_farewell",
        "_on_end",
        "_sink",
        "_stalled",
        "channel",
        "ended",
        "expires_at",
        "number",
        "session_id",
        "slot",
        "slow",
        "superseded",
        "tenant_id",
        "user_id",
        "vanished",
    )

    def __init__(  # noqa: PLR0913 - what a stream is known by, by name
        self,
        channel: Channel,
        *,
        tenant_id: str,
        user_id: str,
        expires_at: float,
        session_id: str | None = None,
        on_end: "Callable[[Subscriber], None]",
    ) -> None:
        self.channel = channel
        self.tenant_id = tenant_id
        self.user_id = user_id
        self.expires_at = expires_at
        self.session_id = session_id
        self.ended = False
        self.slow = False
        self.vanished = False
        self.superseded = 0  # events it was not given because a later one said it all
        self.slot = 0
        self.number = 0  # in the order of admission
        self._on_end = on_end
        self._sink: Sink | None = None
        self._backlog: Backlog | None = None
        self._farewell: bytes | None = None
        self._stalled = False

    @property
    def ending(self) -> bool:
        """Whether its end is decided, so that reading on for it is in vain."""
        return self.ended or self._farewell is not None

    def go_live(self, sink: Sink) -> None:
        """Begin to write; a stream ended meanwhile gets only its end."""
        self._sink = sink
        if self.ended:
            sink.abort()
        elif self._farewell is not None:
            self._finish(self._farewell)

    def give(self, chunk: Chunk, events: list[Event]) -> None:
        """Pass on events, of which `chunk` is the encoding that everybody shares."""
        if self._backlog is None:  # nearly always, and then every call counts
            assert self._sink is not None  # noqa: S101 - only a live stream is given events
            if not self._sink.write(chunk) and not self.ended:
                self._backlog = Backlog()
        elif not self._backlog.add(events):
            self.cut_off()

    def beat(self) -> None:
        """Send a heartbeat; a reader that has taken nothing since the last one is gone."""
        if self._sink is None:
            return
        if self._backlog is None:
            self._write(HEARTBEAT)
        elif self._stalled:
            self.cut_off()
        else:
            self._stalled = True

    def writable(self) -> None:
        """Go on where the sink asked to stop."""
        self._stalled = False
        backlog = self._put_down_backlog()
        while backlog and not self.ended:
            if not self._write(Chunk(backlog.take())):
                self._backlog = backlog
                return
        if self._farewell is not None and not self.ended:
            self._finish(self._farewell)

    def over(self, farewell: bytes) -> None:
        """Take note that an event has ended the visit's stream."""
        self.end(farewell)

    def end(self, farewell: bytes) -> None:
        """End the stream with these bytes, after those it is still owed; the first end counts."""
        if self.ending:
            return
        self.channel.leave(self)
        self._farewell = farewell
        if self._sink is not None and self._backlog is None:
            self._finish(farewell)

    def cut_off(self) -> None:
        """End the stream of a reader that does not keep up; it resumes from the table."""
        self.slow = not self.ended
        self._close()
        if self._sink is not None:
            self._sink.abort()

    def lost(self, *, vanished: bool = False) -> None:
        """Forget a stream that lost its client, in good order or not; harmless when it has ended."""
        self.vanished = vanished and not self.ended
        self._close()

    def abort(self) -> None:
        """Drop the stream with its connection, at once."""
        self._close()
        if self._sink is not None:
            self._sink.abort()

    def _write(self, chunk: Chunk) -> bool:
        """Write, and begin a backlog when the sink asks to stop; False when it does."""
        assert self._sink is not None  # noqa: S101 - only a live stream is written to
        if self._sink.write(chunk) or self.ended:
            return True
        self._backlog = Backlog()
        return False

    def _finish(self, farewell: bytes) -> None:
        assert self._sink is not None  # noqa: S101 - only a live stream is finished
        self._close()
        self._sink.finish(Chunk(farewell))

    def _put_down_backlog(self) -> Backlog | None:
        backlog, self._backlog = self._backlog, None
        if backlog is not None:
            self.superseded += backlog.superseded
            backlog.superseded = 0
        return backlog

    def _close(self) -> None:
        if not self.ended:
            self.ended = True
            self._put_down_backlog()
            self.channel.leave(self)
            self._on_end(self)
