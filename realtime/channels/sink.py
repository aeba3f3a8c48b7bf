"""The interface that writes a stream's bytes to its client, over any transport."""

from typing import Protocol

from realtime.protocol.wire import Chunk


class Sink(Protocol):
    """Carries a stream's bytes to its client. None of these calls waits."""

    def write(self, chunk: Chunk) -> bool:
        """Take bytes, always; False asks for no more until `Subscriber.writable`."""

    def finish(self, last: Chunk) -> None:
        """Take the last bytes and end the response; never called between a False and its `writable`."""

    def abort(self) -> None:
        """Drop the connection with all bytes it still holds."""
