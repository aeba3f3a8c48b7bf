"""Where events come from: NOTIFY while it works, and a look at the table every second while it does not."""

import asyncio
import secrets
from collections.abc import Callable

import orjson

from config.logging import get_logger
from realtime.catchup import CatchUp
from realtime.listener import Listener
from store import events
from store.errors import Unavailable
from store.pool import AWAY, Database

_log = get_logger(__name__)

EVENTS = "processing_events"
CONTROL = "scopekit_control"
POLL_SECONDS = 1.0
TEST_SECONDS = 1.0
# A transaction pooler does not turn into a direct connection by itself, but an operator may mend it.
TEST_AGAIN_SECONDS = 30.0


class Feed:
    """Keeps the hub's channels level with the table.

    At each connect a word is sent to ourselves by another connection. When it does not come, LISTEN goes nowhere (a
    transaction pooler takes it and forgets it), and the table is asked every second instead: slower, never wrong.
    """

    def __init__(
        self,
        db: Database,
        listen_url: str,
        catch_up: CatchUp,
        *,
        heard: Callable[[str], None],
        told: Callable[[dict[str, str]], None],
    ) -> None:
        self._db = db
        self._catch_up = catch_up
        self._told = told
        self._listener = Listener(
            listen_url, {EVENTS: heard, CONTROL: self._control}, on_listening=self._begin_listening
        )
        self._wanted = asyncio.Event()
        self._nonce = ""
        self._arrived = False
        self._tested = asyncio.Event()
        self._test_at = 0.0
        self._works = False
        self._keeper: asyncio.Task[None] | None = None

    @property
    def live(self) -> bool:
        """Whether NOTIFY is known to arrive."""
        return self._listener.listening and self._works

    @property
    def reconnects(self) -> int:
        """How often the listener has come back."""
        return self._listener.reconnects

    async def start(self) -> None:
        """Listen, and find out whether that works. Raises when the first connect fails."""
        await self._listener.start()
        await self._test_notify()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Stop listening and asking."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._listener.stop()

    def look(self) -> None:
        """Have all watched visits looked at in the table now."""
        self._wanted.set()

    def _begin_listening(self) -> None:
        self._test_at = 0.0
        self._tested.set()  # a test under way was of the connection before, and may not hold up the look at the table
        self.look()

    def _control(self, text: str) -> None:
        try:
            word = orjson.loads(text)
            kind = word["kind"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            _log.warning("Not understood on the control channel", size=len(text))
            return
        if kind == "test":
            if word.get("nonce") == self._nonce:
                self._arrived = True
                self._tested.set()
        else:
            self._told(word)

    async def _keep(self) -> None:
        behind = False
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                if self.live and not behind:
                    continue
            self._wanted.clear()
            behind = not await self._look()
            if self._listener.listening and asyncio.get_running_loop().time() >= self._test_at:
                await self._test_notify()

    async def _look(self) -> bool:
        """Look at all watched visits; false when that failed, however: nobody would see the keeper end."""
        try:
            await self._catch_up.all()
        except Unavailable as error:
            _log.warning("Watched visits cannot be looked at", reason=str(error.__cause__))
        except Exception:  # noqa: BLE001 - logged whole
            _log.exception("Watched visits cannot be looked at")
        else:
            return True
        return False

    async def _test_notify(self) -> None:
        self._nonce, self._arrived = secrets.token_hex(8), False
        self._tested.clear()
        self._test_at = asyncio.get_running_loop().time() + TEST_AGAIN_SECONDS
        try:
            async with asyncio.timeout(TEST_SECONDS):
                async with self._db.connection() as conn:
                    await events.notify(conn, CONTROL, orjson.dumps({"kind": "test", "nonce": self._nonce}).decode())
                await self._tested.wait()
        except TimeoutError:
            self._works = False
            _log.error(
                "NOTIFY does not arrive: progress is polled every second. "
                "Set DATABASE_LISTEN_URL to a direct connection, not a transaction pooler."
            )
        except AWAY as error:
            self._works = False
            self._test_at = 0.0  # nothing is known yet: at the next look again
            _log.warning("Whether NOTIFY arrives could not be tried", error=repr(error))
        else:
            if self._arrived and not self._works:
                _log.info("NOTIFY arrives")
            self._works = self._works or self._arrived
