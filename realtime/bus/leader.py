"""Elects the bus leader: the one process of the fleet that publishes committed events, whichever comes first.

A lock of the database names it, so there is one leader at most; a process to which nothing comes by the bus asks
whether there is one, and becomes it if not. A leader that is stopped in good order publishes a farewell, and is
replaced at once.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import SystemRandom

import asyncpg

from config.logging import get_logger
from realtime.backoff import Backoff
from realtime.bus.leadership_term import Term
from realtime.bus.redis_stream import BUS_AWAY, BusStream
from store.events import event_bus
from store.pool import AWAY, Database

_log = get_logger(__name__)

NAME = "scopekit bus leader"
CONNECT_SECONDS = 5.0
DEADLINE_SECONDS = 2.0
CLOSE_SECONDS = 0.5
RETRY_FIRST_SECONDS = 0.1
RETRY_CAP_SECONDS = 1.0
LOOK_SECONDS = 1.0


class BusLeader:
    """Leads whenever nobody else does, until cancelled. `published` counts events over all its terms."""

    def __init__(self, db: Database, listen_url: str, bus_url: str, *, has_leader: Callable[[], bool]) -> None:
        self._db = db
        self._listen_url = listen_url
        self._bus_url = bus_url
        self._has_leader = has_leader
        self._woken = asyncio.Event()
        self._backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_CAP_SECONDS, SystemRandom())
        self.is_leader = False
        self.published = 0

    def wake(self) -> None:
        """Check at once whether a leader is needed."""
        self._woken.set()

    async def run(self) -> None:
        """Carry, or wait until there is need for it."""
        while True:
            try:
                await self._lead_if_nobody_does()
            except (*AWAY, *BUS_AWAY) as error:
                _log.warning("This process cannot lead the event bus now", reason=repr(error))
            except Exception:  # noqa: BLE001 - a leader that ended would do so unseen
                _log.exception("The bus leader failed unexpectedly")
            await self._until_needed()

    async def _until_needed(self) -> None:
        while self._has_leader():
            self._backoff.reset()
            self._woken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._woken.wait()
        await asyncio.sleep(self._backoff.next())

    async def _lead_if_nobody_does(self) -> None:
        async with asyncio.timeout(CONNECT_SECONDS), self._db.connection() as conn:
            if await event_bus.has_leader(conn):
                return
        connection = await asyncpg.connect(
            self._listen_url,
            timeout=CONNECT_SECONDS,
            command_timeout=DEADLINE_SECONDS,
            server_settings={"application_name": NAME},
        )
        try:
            async with BusStream.connected(self._bus_url) as stream:
                term = Term(connection, stream, self._count)
                if await term.begin(self._db):
                    await self._lead(term, connection)
        finally:
            connection.terminate()

    async def _lead(self, term: Term, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.is_leader = True
        _log.info("This process leads the event bus")
        try:
            await term.publish()
        finally:
            self.is_leader = False
            with suppress(*AWAY):  # the lock is given back before the farewell makes others ask for it
                await connection.close(timeout=CLOSE_SECONDS)
            await term.say_farewell()

    def _count(self, events: int) -> None:
        self.published += events
