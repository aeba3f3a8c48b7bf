"""Reads a visit's events from the table: the same question asked twice at once is one query."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from realtime.feed.query_batcher import QueryBatcher
from realtime.feed.singleflight import SingleFlight
from realtime.protocol.events import Event, parse_row
from store.accounts import sessions
from store.errors import Unavailable
from store.events import events
from store.events.events import InitialStateQuery
from store.pool import DRIVER_TROUBLE, Connection, Database, Record

if TYPE_CHECKING:
    from realtime.channels.channel import Channel

# A tenant, a user of it, and the least role that the stream takes.
Watcher: TypeAlias = tuple[str, str, str]

# Half of the smallest sensible pool: requests must never wait for a storm of resuming streams.
READERS = 4
READ_SECONDS = 10.0
PAGE = 500
# While all is well an opening is answered in a tenth of this.
PATIENCE_SECONDS = 0.025
# After the listener was away every watched visit is read: many pages in one round trip, most short, each a megabyte at
# most but for a larger event.
PAGES = 32

Key = tuple[str, int]


class History:
    """The table, read in pages of at most 500 events and about a megabyte."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._free = asyncio.Semaphore(READERS)
        self._page_reads: SingleFlight[list[Event]] = SingleFlight()
        self._initial_reads: SingleFlight[list[Record]] = SingleFlight()
        self._initial_states: QueryBatcher[InitialStateQuery, list[Record]] = QueryBatcher(
            self._ask_initial_states, patience_s=PATIENCE_SECONDS
        )
        self._pages: QueryBatcher[Key, list[Record]] = QueryBatcher(self._ask_pages, most=PAGES)

    async def after(self, visit_id: str, position: int) -> list[Event]:
        """Return the next page after `position`; it may be of a reading that began a moment ago.

        Raises `Unavailable` when the database does not answer in time.
        """
        return await self._page_reads.share(
            (visit_id, position), lambda: asyncio.create_task(self.read(visit_id, position))
        )

    async def read(self, visit_id: str, position: int) -> list[Event]:
        """Return the next page after `position` as it is now: an empty one means that there is none."""
        return [parse_row(row["document"]) for row in await self._pages.put((visit_id, position))]

    async def initial_states(
        self, tenant_id: str, user_id: str | None, channels: "Sequence[Channel]", *, snapshot: bool, since: int
    ) -> list[Record]:
        """Return `store.events.events.initial_states` for these channels' visits.

        It may be of a reading that began a moment ago, for whichever user, but never before the channels, which have
        collected ever since, nor in another time than the caller's `since`.
        Raises `Unavailable` when the database does not answer in time.
        """
        return await self._initial_reads.share(
            (tenant_id, snapshot, since, *channels),
            lambda: self._ask_initial_state(tenant_id, user_id, channels, snapshot=snapshot),
        )

    async def initial_states_now(
        self, tenant_id: str, user_id: str | None, channels: "Sequence[Channel]", *, snapshot: bool
    ) -> list[Record]:
        """Return the same as it is now, for this user."""
        return await self._ask_initial_state(tenant_id, user_id, channels, snapshot=snapshot)

    async def heads(self, visit_ids: Sequence[str]) -> list[Record]:
        """Return `store.events.events.heads` for the visits that exist, as it is now.

        Raises `Unavailable` when the database does not answer in time.
        """
        async with self._asking("The visit's stream cannot be read just now.") as conn:
            return await events.heads(conn, [UUID(visit_id) for visit_id in visit_ids])

    async def non_members(self, watchers: Sequence[Watcher]) -> list[Watcher]:
        """Return those of these (tenant, user, role) of which the user has less than the role in the tenant now.

        Raises `Unavailable` when the database does not answer in time.
        """
        tenants, users = [UUID(tenant) for tenant, _, _ in watchers], [UUID(user) for _, user, _ in watchers]
        async with self._asking("Who the members are cannot be read just now.") as conn:
            rows = await events.non_members(conn, tenants, users, [role for _, _, role in watchers])
        return [(str(row["tenant_id"]), str(row["user_id"]), row["min_role"]) for row in rows]

    async def ended_sessions(self, open_sessions: Sequence[tuple[str, str]]) -> list[str]:
        """Return those of these (session, tenant) whose session is over, or acts for another tenant now.

        Raises `Unavailable` when the database does not answer in time.
        """
        ids, tenants = [UUID(session) for session, _ in open_sessions], [UUID(tenant) for _, tenant in open_sessions]
        async with self._asking("Which sessions have ended cannot be read just now.") as conn:
            return [str(ended) for ended in await sessions.ended(conn, ids, tenants)]

    async def close(self) -> None:
        """Give up the readings under way."""
        await self._initial_states.close()
        await self._pages.close()
        await self._page_reads.close()

    def _ask_initial_state(
        self, tenant_id: str, user_id: str | None, channels: "Sequence[Channel]", *, snapshot: bool
    ) -> "asyncio.Future[list[Record]]":
        visit_ids = [channel.visit_id for channel in channels]
        return self._initial_states.put(InitialStateQuery(tenant_id, user_id, visit_ids, snapshot))

    async def _ask_initial_states(self, asked: list[InitialStateQuery]) -> list[list[Record]]:
        async with self._asking("The visit's stream cannot be opened just now; try again.") as conn:
            return await events.initial_states_of(conn, asked)

    async def _ask_pages(self, asked: list[Key]) -> list[list[Record]]:
        async with self._asking("The visit's events cannot be read just now.") as conn:
            return await events.after_each(conn, asked, PAGE)

    @asynccontextmanager
    async def _asking(self, refusal: str) -> AsyncIterator[Connection]:
        """Lend one of few connections for one question. Raises `Unavailable` when it is not answered in time."""
        try:
            async with asyncio.timeout(READ_SECONDS), self._free, self._db.connection() as conn:
                yield conn
        except DRIVER_TROUBLE as error:
            raise Unavailable(refusal) from error
