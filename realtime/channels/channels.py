"""The visits somebody watches: a channel each, there from the first who watches to the last."""

from realtime.channels.channel import Channel
from realtime.channels.subscriber import Subscriber
from realtime.streams.multi_subscription import MultiSubscription, VisitSubscription


class Channels(dict[str, Channel]):
    """Channels by their visits' ids."""

    def open(self, visit_id: str) -> Channel:
        """Return a visit's channel, which collects from now on."""
        channel = self.get(visit_id)
        if channel is None:
            channel = self[visit_id] = Channel(visit_id)
        return channel

    def release(self, channel: Channel) -> None:
        """Let a channel go that nobody watches; harmless when somebody does."""
        if not channel.members:
            self.close(channel)

    def close(self, channel: Channel) -> None:
        """Let a channel go, whoever watches; one that took its place stays."""
        if self.get(channel.visit_id) is channel:
            del self[channel.visit_id]

    def add_subscription(self, channel: Channel, multi: MultiSubscription, position: int = 0) -> VisitSubscription:
        """Give a stream of several visits a place in a channel, at a position that it has reached."""
        subscription = VisitSubscription(channel, multi, self.leave)
        subscription.position = position
        channel.members.add(subscription)
        multi.add(subscription)
        return subscription

    def leave(self, subscriber: Subscriber) -> None:
        """Take a stream out of its channel, which goes with the last of them."""
        subscriber.channel.members.discard(subscriber)
        self.release(subscriber.channel)
