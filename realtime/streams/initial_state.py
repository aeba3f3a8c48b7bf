"""What streams open with, and which of it still holds for the next one: whose visits they are, and who is a member."""

from collections.abc import Sequence

from realtime.channels.channel import Channel
from realtime.feed.history import History
from realtime.streams.membership_cache import Members
from store.pool import Record


class Openings:
    """Reads what streams open with. Whatever changes who may watch must be told here, or an old reading would count."""

    def __init__(self, history: History) -> None:
        self.members = Members()
        self._history = history
        self._told = 0
        self._doubts = 0

    def flags_changed(self) -> None:
        """Take note that a tenant's flags have changed."""
        self._told += 1

    def removed(self, tenant_id: str, user_id: str) -> None:
        """Take note that a user belongs to this tenant no longer."""
        self._told += 1
        self.members.remove(tenant_id, user_id)

    def doubt(self) -> None:
        """Take note that word of changes may have been missed.

        What is being read is good enough for who asked, whose stream is looked at together with all others; it is not
        kept. To read it anew would never end where the table is looked at every second, and answers slower.
        """
        self._doubts += 1
        self.members.doubt()

    async def read(  # noqa: PLR0913 - two facts of the caller's that only it knows
        self, tenant_id: str, user_id: str, channels: Sequence[Channel], *, snapshot: bool, known: bool, fresh: bool
    ) -> tuple[list[Record], bool]:
        """Return what the channels' streams open with, and whether this user is a member.

        See `store.events.events`. What others began to read a moment ago will do, unless it must be `fresh`, or does
        not tell of this user, who is to be asked for unless `known`. Raises `Unavailable`.
        """
        asked_for = None if known else user_id
        while True:
            told, doubts = self._told, self._doubts
            if fresh:
                found = await self._history.openings_now(tenant_id, asked_for, channels, snapshot=snapshot)
            else:
                found = await self._history.openings(tenant_id, asked_for, channels, snapshot=snapshot, since=told)
            if told != self._told:  # meanwhile: what was read may be what no longer holds
                asked_for = user_id
                continue
            if asked_for is None or self.members.has(tenant_id, user_id):  # others who read the same may have learned
                return found, True
            members = set(map(str, found[0]["members"] or ()))
            if members and doubts == self._doubts:
                self.members.learn(tenant_id, members)
            if user_id in members:
                return found, True
            if fresh:
                return found, False
            fresh = True
