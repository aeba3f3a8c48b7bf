"""The answer to one request for the progress of several visits."""

from realtime.channels.sink import Sink
from realtime.protocol import wire
from realtime.streams.multi_subscription import MultiSubscription, VisitSubscription
from realtime.streams.stream import ProgressStream, StreamHub
from realtime.transport.asgi import Send


class MultiStream(ProgressStream):
    """A stream with events of several channels.

    Each subscription of `multi` stands where its client has got to.
    """

    def __init__(self, hub: StreamHub, multi: MultiSubscription, *, opening: bytes) -> None:
        super().__init__(hub, multi.subscriber, opening=opening, position=0)
        self._multi = multi

    async def _replay(self, send: Send) -> None:
        # While one visit is brought up, another may have moved on. All are level in the turn in which none is behind.
        while not self._subscriber.ending and (behind := self._multi.behind()):
            for subscription in behind:
                await self._bring_up(subscription, send)

    async def _bring_up(self, subscription: VisitSubscription, send: Send) -> None:
        while events := await self._hub.catch_up.page(subscription.channel, subscription.position):
            body = wire.frames(self._multi.advance(subscription, events))
            await self._send(send, body)
            self._hub.replayed(len(events), len(body))
            if self._subscriber.ending:
                return
        subscription.position = max(
            subscription.position, subscription.channel.head or 0
        )  # what lay between has been deleted

    def _join(self, sink: Sink) -> None:
        self._hub.join_all(self._multi, sink)
