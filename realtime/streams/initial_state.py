"""The opening state of streams, and how much of it holds for the next: the visits' owners, and the members."""

from collections.abc import Sequence

from realtime.channels.channel import Channel
from realtime.feed.history import History
from realtime.streams.membership_cache import MembershipCache
from store.pool import Record


class InitialStateLoader:
    """Reads the opening state of streams.

    Any change of the right to watch must be noted here, or an old reading would count.
    """

    def __init__(self, history: History) -> None:
        self.members = MembershipCache()
        self._history = history
        self._changes = 0
        self._invalidations = 0

    def flags_changed(self) -> None:
        """Take note that a tenant's flags have changed."""
        self._changes += 1

    def removed(self, tenant_id: str, user_id: str) -> None:
        """Take note that a user belongs to this tenant no longer."""
        self._changes += 1
        self.members.remove(tenant_id, user_id)

    def invalidate(self) -> None:
        """Take note that notifications of changes may have been missed.

        A reading under way is good enough for its caller, whose stream is looked at together with all others; it is not
        kept. To read it anew would never end where the table is looked at every second, and answers slower.
        """
        self._invalidations += 1
        self.members.clear()

    async def read(  # noqa: PLR0913 - two facts of the caller's that only it knows
        self, tenant_id: str, user_id: str, channels: Sequence[Channel], *, snapshot: bool, known: bool, fresh: bool
    ) -> tuple[list[Record], bool]:
        """Return the opening state of the channels' streams, and whether this user is a member.

        See `store.events.events`. A reading begun a moment ago will do, unless it must be `fresh`, or does
        not cover this user, whom the query must include unless `known`. Raises `Unavailable`.
        """
        asked_for = None if known else user_id
        while True:
            changes, invalidations = self._changes, self._invalidations
            if fresh:
                found = await self._history.initial_states_now(tenant_id, asked_for, channels, snapshot=snapshot)
            else:
                found = await self._history.initial_states(
                    tenant_id, asked_for, channels, snapshot=snapshot, since=changes
                )
            if changes != self._changes:  # meanwhile: what was read may be what no longer holds
                asked_for = user_id
                continue
            if asked_for is None or self.members.has(tenant_id, user_id):  # others who read the same may have learned
                return found, True
            members = set(map(str, found[0]["members"] or ()))
            if members and invalidations == self._invalidations:
                self.members.put(tenant_id, members)
            if user_id in members:
                return found, True
            if fresh:
                return found, False
            fresh = True
