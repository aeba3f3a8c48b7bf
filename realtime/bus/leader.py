"""Sees to it that somebody carries committed events to the bus: one process of the fleet, whichever comes first.

A lock of the database says who, so there is one carrier at most; whoever hears nothing from the bus asks whether there
is one, and takes its place if not. A carrier that is stopped in good order says farewell, and is replaced at once.
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

NAME = "scopekit carrier"
CONNECT_SECONDS = 5.0
DEADLINE_SECONDS = 2.0
CLOSE_SECONDS = 0.5
RETRY_FIRST_SECONDS = 0.1
RETRY_CAP_SECONDS = 1.0
LOOK_SECONDS = 1.0


class Carrier:
    """Carries whenever nobody else does, until cancelled. `carried` counts events over all its terms."""

    def __init__(self, db: Database, listen_url: str, bus_url: str, *, is_carried: Callable[[], bool]) -> None:
        self._db = db
        self._listen_url = listen_url
        self._bus_url = bus_url
        self._is_carried = is_carried
        self._called = asyncio.Event()
        self._backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_CAP_SECONDS, SystemRandom())
        self.carries = False
        self.carried = 0

    def call(self) -> None:
        """Have it looked at once whether a carrier is needed."""
        self._called.set()

    async def carry_for_ever(self) -> None:
        """Carry, or wait until there is need for it."""
        while True:
            try:
                await self._carry_if_nobody_does()
            except (*AWAY, *BUS_AWAY) as error:
                _log.warning("The event bus is not carried by this process", reason=repr(error))
            except Exception:  # noqa: BLE001 - a carrier that ended would do so unseen
                _log.exception("The carrier failed in a way not foreseen")
            await self._until_needed()

    async def _until_needed(self) -> None:
        while self._is_carried():
            self._backoff.reset()
            self._called.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._called.wait()
        await asyncio.sleep(self._backoff.next())

    async def _carry_if_nobody_does(self) -> None:
        async with asyncio.timeout(CONNECT_SECONDS), self._db.connection() as conn:
            if await event_bus.is_carried(conn):
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
                    await self._serve(term, connection)
        finally:
            connection.terminate()

    async def _serve(self, term: Term, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.carries = True
        _log.info("This process carries the event bus")
        try:
            await term.carry()
        finally:
            self.carries = False
            with suppress(*AWAY):  # the lock is given back before anybody is told to ask for it
                await connection.close(timeout=CLOSE_SECONDS)
            await term.say_farewell()

    def _count(self, events: int) -> None:
        self.carried += events
