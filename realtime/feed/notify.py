"""Notifications by NOTIFY: each process listens for itself, and finds out whether that works."""

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress

from config.cancellation import cancel_all
from config.logging import get_logger
from realtime.feed.listener import Listener
from realtime.feed.source import CONTROL, SourceCallbacks, parse_control, send_test
from store.pool import AWAY, Database

_log = get_logger(__name__)

EVENTS = "processing_events"
TEST_SECONDS = 1.0
# A transaction pooler does not turn into a direct connection by itself, but an operator may mend it.
TEST_AGAIN_SECONDS = 30.0
# The database was away: nothing is known yet.
UNKNOWN_AGAIN_SECONDS = 1.0


class Notify:
    """Receives the trigger's notifications.

    At each connect a test message is sent by another connection. When it does not come, LISTEN goes nowhere: a
    transaction pooler takes it and forgets it.
    """

    def __init__(self, db: Database, listen_url: str, callbacks: SourceCallbacks) -> None:
        self._db = db
        self._callbacks = callbacks
        self._listener = Listener(
            listen_url, {EVENTS: self._events, CONTROL: self._control}, on_listening=self._begin_listening
        )
        self._nonce = ""
        self._arrived = False
        self._answered = asyncio.Event()
        self._connected = asyncio.Event()
        self._known = asyncio.Event()
        self._works = False
        self._tester: asyncio.Task[None] | None = None

    @property
    def live(self) -> bool:
        """Whether NOTIFY is known to arrive."""
        return self._listener.listening and self._works

    @property
    def reconnects(self) -> int:
        """How often the listener has come back."""
        return self._listener.reconnects

    async def start(self) -> None:
        """Listen, and find out whether that works, unless that has to wait. Raises when the first connect fails."""
        await self._listener.start()
        self._tester = asyncio.create_task(self._test_for_ever())
        if self._listener.listening:
            await self._known.wait()

    async def stop(self) -> None:
        """Stop listening."""
        await cancel_all(self._tester)
        await self._listener.stop()

    def stats(self) -> Mapping[str, int]:
        """Nothing of its own."""
        return {}

    def _begin_listening(self) -> None:
        self._answered.set()  # a test under way was of the connection before, and may not hold up the one of this
        self._connected.set()
        self._callbacks.on_missed()

    def _events(self, text: str) -> None:
        for message in text.split("\n"):  # one, but for a statement that notified more than a thousand
            self._callbacks.on_event(message)

    def _control(self, text: str) -> None:
        message = parse_control(text)
        if message is None:
            return
        if message["kind"] != "test":
            self._callbacks.on_control(message)
        elif message.get("nonce") == self._nonce:
            self._arrived = True
            self._answered.set()

    async def _test_for_ever(self) -> None:
        """Test each connection, and one that brought nothing, or of which nothing is known, again."""
        again_s = UNKNOWN_AGAIN_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(again_s):
                    await self._connected.wait()
            if self._connected.is_set() or (self._listener.listening and not self._works):
                self._connected.clear()
                again_s = await self._test()
                self._known.set()

    async def _test(self) -> float:
        """Find out whether a test message arrives; returns after how many seconds to try again, if it does not."""
        self._nonce, self._arrived = secrets.token_hex(8), False
        self._answered.clear()
        try:
            async with asyncio.timeout(TEST_SECONDS):
                await send_test(self._db, self._nonce)
                await self._answered.wait()
        except TimeoutError:
            self._works = False
            _log.error(
                "NOTIFY does not arrive: progress is polled every second. "
                "Set DATABASE_LISTEN_URL to a direct connection, not a transaction pooler."
            )
        except AWAY as error:
            self._works = False
            _log.warning("Whether NOTIFY arrives could not be tried", error=repr(error))
            return UNKNOWN_AGAIN_SECONDS
        else:
            if self._arrived and not self._works:
                _log.info("NOTIFY arrives")
            self._works = self._works or self._arrived
        return TEST_AGAIN_SECONDS
