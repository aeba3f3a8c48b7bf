"""The watched visits: a channel each, from its first watcher to its last."""

from realtime.channels.channel import Channel
from realtime.channels.subscriber import Subscriber


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
        """Let a channel go, watched or not; one that took its place stays."""
        if self.get(channel.visit_id) is channel:
            del self[channel.visit_id]

    def leave(self, subscriber: Subscriber) -> None:
        """Take a stream out of its channel, which goes with the last of them."""
        subscriber.channel.members.discard(subscriber)
        self.release(subscriber.channel)
