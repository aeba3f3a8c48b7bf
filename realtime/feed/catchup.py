"""Brings channels up to the table when a hole shows or the listener was away, and streams up to their channels."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from random import SystemRandom
from typing import Protocol

from config.logging import get_logger
from realtime.backoff import Backoff
from realtime.channels.channel import Channel
from realtime.feed.history import History
from realtime.protocol.epoch import unbroken
from realtime.protocol.events import Event
from store.errors import Unavailable
from store.pool import Record

_log = get_logger(__name__)

ROWS_A_QUERY = 500


class Relay(Protocol):
    """What is caught up: the hub."""

    @property
    def channels(self) -> Mapping[str, Channel]:
        """The visits somebody watches."""

    def flush_soon(self, channel: Channel) -> None:
        """Pass on what is fresh in this turn of the loop."""

    def disable(self, channel: Channel) -> None:
        """End a channel's streams: its tenant may not have them any more."""

    def rewind(self, channel: Channel) -> None:
        """End a channel's streams to begin again: they were given what the table does not have."""

    def watchers(self) -> list[tuple[str, str]]:
        """Return whose streams are open, as (tenant, user)."""

    def doubt(self) -> None:
        """Trust nothing that was known without the table: word of it may have been missed."""

    def remove(self, tenant_id: str, user_id: str) -> None:
        """End the streams of a user who is no member."""


class CatchUp:
    """Reads from the table what live word did not bring."""

    def __init__(self, relay: Relay, history: History) -> None:
        self._relay = relay
        self._history = history
        self._healing: set[asyncio.Task[None]] = set()
        self._back = asyncio.Event()
        self.healed = 0

    def begin(self, channel: Channel, row: Record) -> None:
        """Let a channel begin where the table stands."""
        channel.establish(row["last_seq"], row["job_event"], row["tears"])
        self.heal(channel)

    def heal(self, channel: Channel) -> None:
        """Fill a channel's hole, unless that is being done."""
        if channel.gap and not channel.healing:
            channel.healing = True
            task = asyncio.create_task(self._heal(channel))
            self._healing.add(task)
            task.add_done_callback(self._healing.discard)

    async def all(self) -> None:
        """Ask where every watched visit stands, and who still may watch; heal and end accordingly.

        Raises `Unavailable`.
        """
        # Heads as they are before the query: live word that comes during it must not look like a rewind.
        heads = {visit_id: channel.head for visit_id, channel in self._relay.channels.items()}
        visit_ids = list(heads)
        for first in range(0, len(visit_ids), ROWS_A_QUERY):
            for row in await self._history.heads(visit_ids[first : first + ROWS_A_QUERY]):
                self._settle(row, heads[str(row["visit_id"])])
            self._hurry()
        await self._remove_strangers()

    async def page(self, channel: Channel, position: int) -> list[Event]:
        """Return the next events after `position` for a stream of a channel; none means that it may join in this turn.

        Whoever was told in vain up to there is given none: its channel's streams begin again. Raises `Unavailable`.
        """
        found = await self._read_after(channel, position)
        if channel.denies(position):
            self._relay.rewind(channel)
            return []
        return found

    async def close(self) -> None:
        """Give up what is being healed."""
        tasks = list(self._healing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_after(self, channel: Channel, position: int) -> list[Event]:
        while (found := channel.after(position)) is None:
            floor = channel.floor
            rows = await self._history.after(channel.visit_id, position)
            rows = rows or await self._history.read(channel.visit_id, position)
            if rows:
                if not unbroken(position, rows):
                    await self._look_for_tears(channel)
                channel.reach_back(position, rows)
                return rows
            position = floor  # what was there has been deleted
        return found

    async def _look_for_tears(self, channel: Channel) -> None:
        for row in await self._history.heads([channel.visit_id]):
            channel.tears = row["tears"]

    def _settle(self, row: Record, head: int | None) -> None:
        channel = self._relay.channels.get(str(row["visit_id"]))
        if channel is None:
            return
        if not row["enabled"]:
            self._relay.disable(channel)
            return
        channel.tears = row["tears"]
        if channel.misled or (head is not None and row["last_seq"] < head):
            self._relay.rewind(channel)
        else:
            channel.hear_of(row["last_seq"])
            self.heal(channel)

    async def _remove_strangers(self) -> None:
        self._relay.doubt()
        watchers = self._relay.watchers()
        for first in range(0, len(watchers), ROWS_A_QUERY):
            for tenant_id, user_id in await self._history.strangers(watchers[first : first + ROWS_A_QUERY]):
                self._relay.remove(tenant_id, user_id)

    async def _heal(self, channel: Channel) -> None:
        backoff = Backoff(0.1, 2.0, SystemRandom())
        try:
            while channel.gap and channel.members:
                with suppress(TimeoutError):
                    async with asyncio.timeout(backoff.next()):
                        await self._back.wait()
                await self._heal_once(channel, backoff)
        finally:
            channel.healing = False

    def _hurry(self) -> None:
        """Wake those who wait before they ask the table again: it answers."""
        self._back.set()
        self._back = asyncio.Event()

    async def _heal_once(self, channel: Channel, backoff: Backoff) -> None:
        try:
            # Never a shared reading: one that began before the word came would deny that the event exists.
            head = channel.head or 0
            rows = await self._history.read(channel.visit_id, head)
            if not unbroken(head, rows):
                await self._look_for_tears(channel)
                if channel.misled:
                    self._relay.rewind(channel)
                    return
        except Unavailable as error:
            _log.warning("A hole cannot be filled yet", visit_id=channel.visit_id, reason=str(error.__cause__))
            return
        backoff.reset()
        self.healed += 1
        if channel.fill(rows):
            self._relay.flush_soon(channel)
