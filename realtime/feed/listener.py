"""One connection that LISTENs for the whole process, watched by a probe and replaced when it is lost."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from random import SystemRandom
from typing import Any, TypeAlias

import asyncpg

from config.cancellation import cancel_all
from config.logging import get_logger
from realtime.backoff import Backoff
from store.events import event_bus

_log = get_logger(__name__)

# A connection that is dead but open is noticed within PROBE + DEADLINE = 2.5 s.
PROBE_SECONDS = 1.0
DEADLINE_SECONDS = 1.5
CONNECT_SECONDS = 5.0
RETRY_FIRST_SECONDS = 0.05
RETRY_CAP_SECONDS = 2.0
SETTLE_SECONDS = 0.02
# Most transactions end sooner; behind one that does not, the table is polled.
SETTLE_MOST_SECONDS = 2.0

NAME = "scopekit listener"
LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class NotifyNotReady(Exception):
    """Some transaction goes on that may yet insert events without a notification."""


class Listener:
    """LISTENs on `channels`, each with its callback for a notification, and calls `on_listening` after each connect.

    Notifications sent meanwhile are lost, so `on_listening` must have the table read again. The first connect fails
    fast, unless it was too soon; after that it tries for ever, with a capped, jittered delay, and logs each attempt.
    """

    def __init__(
        self, url: str, channels: Mapping[str, Callable[[str], None]], *, on_listening: Callable[[], None]
    ) -> None:
        self._url = url
        self._channels = channels
        self._on_listening = on_listening
        self._backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_CAP_SECONDS, SystemRandom())
        self._supervisor: asyncio.Task[None] | None = None
        self.listening = False
        self.reconnects = 0

    async def start(self) -> None:
        """Connect and listen. Raises the errors of connecting: a wrong URL must fail the start."""
        try:
            connection = await self._connect()
        except NotifyNotReady as reason:
            _log.warning("The listener has to wait", reason=str(reason))
            connection = None
        self._supervisor = asyncio.create_task(self._supervise(connection))

    async def stop(self) -> None:
        """Stop listening and close the connection."""
        await cancel_all(self._supervisor)

    async def _supervise(self, connection: "Connection | None") -> None:
        """Keep a connection for ever: after each loss the next is made. A listener that died would do so unseen."""
        connection = connection or await self._reconnect()
        while True:
            try:
                await self._watch(connection)
            except Exception:  # noqa: BLE001 - see above
                _log.exception("The listener's connection failed unexpectedly")
            finally:
                self.listening = False
                await _close(connection)
            connection = await self._reconnect()
            self.reconnects += 1

    async def _watch(self, connection: Connection) -> None:
        """Return when the connection is lost, or answers no probe in time."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        while not connection.is_closed():
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    await lost.wait()
                break
            except TimeoutError:
                pass
            try:
                await connection.execute("SELECT 1", timeout=DEADLINE_SECONDS)
            except LOST as error:
                _log.warning("The listener's connection does not answer", error=repr(error))
                connection.terminate()  # a goodbye would only wait for the same silence
                return
        _log.warning("The listener's connection was lost")

    async def _reconnect(self) -> Connection:
        while True:
            await asyncio.sleep(self._backoff.next())
            try:
                connection = await self._connect()
            except Exception as error:  # noqa: BLE001 - asyncpg has errors of its own state, outside every tree
                _log.warning("The listener cannot connect", attempt=self._backoff.attempts, error=repr(error))
                continue
            _log.info("The listener is connected again", attempts=self._backoff.attempts)
            self._backoff.reset()
            return connection

    async def _connect(self) -> Connection:
        connection = await asyncpg.connect(
            self._url,
            timeout=CONNECT_SECONDS,
            statement_cache_size=0,
            server_settings={"application_name": NAME},
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                for channel in self._channels:
                    await connection.add_listener(channel, self._notified)
                await _enable_notify(connection)
        except BaseException:
            connection.terminate()
            raise
        self.listening = True
        self._on_listening()
        return connection

    def _notified(self, _connection: Any, _pid: int, channel: str, payload: object) -> None:
        self._channels[channel](str(payload))


async def _enable_notify(connection: Connection) -> None:
    """Where a fleet comes back from the bus, wait for writers that did not know yet. Raises `Unsettled`."""
    since = await event_bus.enable_notify(connection)
    try:
        async with asyncio.timeout(SETTLE_MOST_SECONDS):
            while since and not await event_bus.all_ended(connection, since):  # noqa: ASYNC110 - their end is not notified
                await asyncio.sleep(SETTLE_SECONDS)
    except TimeoutError:
        raise NotifyNotReady("a transaction from before NOTIFY was enabled is still open") from None


async def _close(connection: Connection) -> None:
    if connection.is_closed():
        return
    with contextlib.suppress(Exception):
        await connection.close(timeout=DEADLINE_SECONDS)
