"""One term of the bus leader: it reads committed events from the database and publishes them on the bus.

Invariants:

 1 Its session is the leader's, and the server ends a session that is silent for 5 s. A leader that was frozen and
   replaced can at worst publish late the events it read before.
 2 It begins with a snapshot in which all has ended that was running when its way was opened. The snapshot's events are
   in the table before the term's first entry. The events of each later snapshot beyond the one before, and no others,
   are published: once, and of a visit in order.
 3 An entry that may not have arrived is not repeated. It leaves a hole in the numbers, at which readers look at the
   table; so does a batch too large to be published.
 4 When the bus takes nothing for 3 s the term ends: perhaps another process can reach it.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from config.logging import get_logger
from realtime.backoff import Backoff
from realtime.bus.entry import Entry, EntryId, batches
from realtime.bus.redis_stream import BEAT_SECONDS, BUS_AWAY, BusStream
from realtime.feed.source import CONTROL, parse_control, send_test
from store.events import event_bus
from store.pool import Database

if TYPE_CHECKING:
    import asyncpg

_log = get_logger(__name__)

# Between two looks. One that finds nothing takes 0.1 ms, and they are the whole fleet's, however many its gateways.
LOOK_SECONDS = 0.005
TEND_SECONDS = 1.0
# More at once, as from one huge transaction, is read from the table by those who watch it; of 8 KB each at most.
MOST_MESSAGES = 10_000
MOST_CONTROL = 1_000
ENTRY_CHARACTERS = 65_536
TEST_SECONDS = 1.0
SETTLE_SECONDS = 0.02
GIVE_UP_SECONDS = 3.0
FAREWELL_SECONDS = 0.3

OWN_SESSION = "SET idle_session_timeout = '5s'"


class Term:
    """One term of the bus leader. `count` is called with the number of events published."""

    def __init__(
        self, connection: "asyncpg.Connection[asyncpg.Record]", stream: BusStream, count: Callable[[int], None]
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._count = count
        self._name = secrets.token_hex(8)
        self._number = 0
        self._since = 0
        self._control: list[str] = []
        self._tested = asyncio.Event()
        self._backoff = Backoff(0.05, 0.5, SystemRandom())
        self._reached_at = self._now()
        self._beat_at = 0.0

    async def begin(self, db: Database) -> bool:
        """Become the leader; false when there is another, or when no NOTIFY of `db` reaches this connection."""
        await self._connection.add_listener(CONTROL, self._on_notification)
        if not await self._receives_notify(db):
            _log.error(
                "NOTIFY does not arrive: this process cannot lead the event bus. "
                "Set DATABASE_LISTEN_URL to a direct connection, not a transaction pooler."
            )
            return False
        await self._connection.execute(OWN_SESSION)
        since = await event_bus.become_leader(self._connection)
        self._since = since or 0
        return since is not None

    async def publish(self) -> None:
        """Carry until the database or the bus is away, which is raised."""
        snapshot = await self._first_snapshot()
        self._reached_at = self._now()
        tend_at = 0.0
        while True:
            snapshot, messages = await event_bus.committed_since(self._connection, snapshot, MOST_MESSAGES + 1)
            if self._now() >= tend_at:
                tend_at = self._now() + TEND_SECONDS
                await event_bus.tend(self._connection, snapshot)
            for entry in self._entries(messages):
                await self._append(entry)
            await asyncio.sleep(LOOK_SECONDS)

    async def say_farewell(self) -> None:
        """Tell all readers that another process may lead now."""
        with suppress(*BUS_AWAY):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._stream.append(Entry(self._next_id(), farewell=True))

    async def _first_snapshot(self) -> str:
        while (snapshot := await event_bus.position(self._connection, self._since)) is None:  # noqa: ASYNC110 - others'
            await asyncio.sleep(SETTLE_SECONDS)
        return snapshot

    def _entries(self, messages: Sequence[str]) -> Iterator[Entry]:
        """Give the entries to publish now: events, control messages, or a heartbeat where one is due."""
        control, self._control = self._control, []
        if len(messages) > MOST_MESSAGES or len(control) > MOST_CONTROL:
            _log.warning(
                "Too much was committed at once for the event bus", messages=len(messages), control=len(control)
            )
            self._next_id()  # a hole
            messages, control, self._beat_at = (), [], 0.0
        if control or (not messages and self._now() >= self._beat_at):
            yield Entry(self._next_id(), control=control)
        for batch in batches(messages, ENTRY_CHARACTERS):
            yield Entry(self._next_id(), batch)

    async def _append(self, entry: Entry) -> None:
        try:
            await self._stream.append(entry)
        except BUS_AWAY as error:
            if self._now() > self._reached_at + GIVE_UP_SECONDS:
                raise
            _log.warning("The event bus does not take an entry", reason=repr(error))
            await asyncio.sleep(self._backoff.next())
            return
        self._count(len(entry.messages))
        self._backoff.reset()
        self._reached_at = self._now()
        self._beat_at = self._reached_at + BEAT_SECONDS

    def _next_id(self) -> EntryId:
        self._number += 1
        return EntryId(self._name, self._number)

    def _on_notification(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        text = str(payload)
        message = parse_control(text)
        if message is None:
            return
        if message["kind"] != "test":
            self._control.append(text)
        elif message.get("nonce") == self._name:
            self._tested.set()

    async def _receives_notify(self, db: Database) -> bool:
        """Whether a message of another connection arrives: one's own comes back through a transaction pooler, too.

        There the leader's lock would stay behind, in a session that others go on with.
        """
        try:
            async with asyncio.timeout(TEST_SECONDS):
                await send_test(db, self._name)
                await self._tested.wait()
        except TimeoutError:
            return False
        return True

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
