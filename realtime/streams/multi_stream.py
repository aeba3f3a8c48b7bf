"""The answer to one request for the progress of several visits."""

from realtime.channels.subscriber import Sink
from realtime.hub import Hub
from realtime.protocol import wire
from realtime.streams.multi_subscription import Bundle, Leg
from realtime.streams.stream import ProgressStream
from realtime.transport.asgi import Send


class BundleStream(ProgressStream):
    """A stream whose events come from several channels; each leg of `bundle` stands where its client has got to."""

    def __init__(self, hub: Hub, bundle: Bundle, *, opening: bytes) -> None:
        super().__init__(hub, bundle.stream, opening=opening, position=0)
        self._bundle = bundle

    async def _replay(self, send: Send) -> None:
        # While one visit is brought up, another may have moved on. All are level in the turn in which none is behind.
        while not self._subscriber.ending and (behind := self._bundle.behind()):
            for leg in behind:
                await self._bring_up(leg, send)

    async def _bring_up(self, leg: Leg, send: Send) -> None:
        while events := await self._hub.catch_up.page(leg.channel, leg.position):
            body = wire.frames(self._bundle.mark(leg, events))
            await self._send(send, body)
            self._hub.replayed(len(events), len(body))
            if self._subscriber.ending:
                return
        leg.position = max(leg.position, leg.channel.head or 0)  # what lay between has been deleted

    def _join(self, sink: Sink) -> None:
        self._hub.join_all(self._bundle, sink)
