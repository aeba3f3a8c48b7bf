"""Brings channels up to the table when a hole shows or the listener was away, and streams up to their channels."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from random import SystemRandom
from typing import Protocol

from config.logging import get_logger
from realtime.backoff import Backoff
from realtime.channels.channel import Channel
from realtime.feed.history import History, Watcher
from realtime.protocol.epoch import is_contiguous
from realtime.protocol.events import Event
from store.errors import Unavailable
from store.pool import Record

_log = get_logger(__name__)

ROWS_A_QUERY = 500


class Relay(Protocol):
    """The part that is caught up: the hub."""

    @property
    def channels(self) -> Mapping[str, Channel]:
        """The visits somebody watches."""

    def flush_soon(self, channel: Channel) -> None:
        """Pass on the fresh events of this turn of the loop."""

    def disable(self, channel: Channel) -> None:
        """End a channel's streams: its tenant may not have them any more."""

    def rewind(self, channel: Channel) -> None:
        """End a channel's streams to begin again: they were given events that the table does not have."""

    def watchers(self) -> list[Watcher]:
        """Return the owners of open streams, as (tenant, user, the least role that such a stream takes)."""

    def invalidate(self) -> None:
        """Trust nothing that was known without the table: a notification may have been missed."""

    def restrict(self, tenant_id: str, user_id: str, role: str | None) -> None:
        """End the streams of a user that this role may not have; None for a user without membership."""

    def open_sessions(self) -> list[tuple[str, str]]:
        """Return the sessions that have opened streams, as (session, tenant)."""

    def end_session(self, session_id: str) -> None:
        """End the streams of a session that is over, or acts for another company now."""


class CatchUp:
    """Reads from the table the events that no notification brought."""

    def __init__(self, relay: Relay, history: History) -> None:
        self._relay = relay
        self._history = history
        self._filling: set[asyncio.Task[None]] = set()
        self._back = asyncio.Event()
        self.gaps_filled = 0

    def begin(self, channel: Channel, row: Record) -> None:
        """Let a channel begin where the table stands."""
        channel.initialize(row["last_seq"], row["ended_by"], row["epoch_ends"])
        self.fill_gap(channel)

    def fill_gap(self, channel: Channel) -> None:
        """Fill a channel's hole, unless that is being done."""
        if channel.gap and not channel.filling_gap:
            channel.filling_gap = True
            task = asyncio.create_task(self._fill_gap(channel))
            self._filling.add(task)
            task.add_done_callback(self._filling.discard)

    async def all(self) -> None:
        """Read every watched visit's position, and its viewers' memberships; fill gaps and end streams accordingly.

        Raises `Unavailable`.
        """
        # Heads as they are before the query: a notification that comes during it must not look like a rewind.
        heads = {visit_id: channel.head for visit_id, channel in self._relay.channels.items()}
        visit_ids = list(heads)
        for first in range(0, len(visit_ids), ROWS_A_QUERY):
            for row in await self._history.heads(visit_ids[first : first + ROWS_A_QUERY]):
                self._settle(row, heads[str(row["visit_id"])])
            self._wake_waiting()
        await self._remove_non_members()
        await self._end_sessions()

    async def page(self, channel: Channel, position: int) -> list[Event]:
        """Return the next events after `position` for a stream of a channel; none means that it may join in this turn.

        A client at a position that a crash took back is given none: its channel's streams begin again. Raises
        `Unavailable`.
        """
        found = await self._read_after(channel, position)
        if channel.position_lost(position):
            self._relay.rewind(channel)
            return []
        return found

    async def close(self) -> None:
        """Give up the gaps that are being filled."""
        tasks = list(self._filling)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_after(self, channel: Channel, position: int) -> list[Event]:
        while (found := channel.after(position)) is None:
            floor = channel.floor
            rows = await self._history.after(channel.visit_id, position)
            rows = rows or await self._history.read(channel.visit_id, position)
            if rows:
                if not is_contiguous(position, rows):
                    await self._refresh_epochs(channel)
                channel.reach_back(position, rows)
                return rows
            position = floor  # what was there has been deleted
        return found

    async def _refresh_epochs(self, channel: Channel) -> None:
        for row in await self._history.heads([channel.visit_id]):
            channel.epoch_ends = row["epoch_ends"]

    def _settle(self, row: Record, head: int | None) -> None:
        channel = self._relay.channels.get(str(row["visit_id"]))
        if channel is None:
            return
        if not row["enabled"]:
            self._relay.disable(channel)
            return
        channel.epoch_ends = row["epoch_ends"]
        if channel.has_lost_readers or (head is not None and row["last_seq"] < head):
            self._relay.rewind(channel)
        else:
            channel.expect(row["last_seq"])
            self.fill_gap(channel)

    async def _remove_non_members(self) -> None:
        self._relay.invalidate()
        watchers = self._relay.watchers()
        for first in range(0, len(watchers), ROWS_A_QUERY):
            for tenant_id, user_id, min_role in await self._history.non_members(watchers[first : first + ROWS_A_QUERY]):
                self._relay.restrict(tenant_id, user_id, None if min_role == "viewer" else "member")

    async def _end_sessions(self) -> None:
        open_sessions = self._relay.open_sessions()
        for first in range(0, len(open_sessions), ROWS_A_QUERY):
            for session_id in await self._history.ended_sessions(open_sessions[first : first + ROWS_A_QUERY]):
                self._relay.end_session(session_id)

    async def _fill_gap(self, channel: Channel) -> None:
        backoff = Backoff(0.1, 2.0, SystemRandom())
        try:
            while channel.gap and channel.members:
                with suppress(TimeoutError):
                    async with asyncio.timeout(backoff.next()):
                        await self._back.wait()
                await self._fill_gap_once(channel, backoff)
        finally:
            channel.filling_gap = False

    def _wake_waiting(self) -> None:
        """Wake the waiting before they ask the table again: it answers."""
        self._back.set()
        self._back = asyncio.Event()

    async def _fill_gap_once(self, channel: Channel, backoff: Backoff) -> None:
        try:
            # Never a shared reading: one that began before the notification would deny that the event exists.
            head = channel.head or 0
            rows = await self._history.read(channel.visit_id, head)
            if not is_contiguous(head, rows):
                await self._refresh_epochs(channel)
                if channel.has_lost_readers:
                    self._relay.rewind(channel)
                    return
        except Unavailable as error:
            _log.warning("A gap cannot be filled yet", visit_id=channel.visit_id, reason=str(error.__cause__))
            return
        backoff.reset()
        self.gaps_filled += 1
        if channel.fill(rows):
            self._relay.flush_soon(channel)
