"""Keeps what is watched level with the table: by live word while it comes, and by a look every second while not."""

import asyncio
from collections.abc import Callable, Mapping

from config.cancellation import end
from config.logging import get_logger
from config.settings import Settings
from realtime.bus.bus import Bus
from realtime.feed.catchup import CatchUp
from realtime.feed.notify import Notify
from realtime.feed.source import Ears, Source
from store.errors import Unavailable
from store.pool import Database

_log = get_logger(__name__)

POLL_SECONDS = 1.0


def open_source(settings: Settings, db: Database, ears: Ears) -> Source:
    """Return the source that the settings name."""
    if settings.event_bus == "redis":
        return Bus(db, settings.listen_url, settings.event_bus_url, ears)
    return Notify(db, settings.listen_url, ears)


class Feed:
    """Listens to the source of live word, and looks at the table whenever that has, or may have, missed something.

    Without live word the table is looked at every second: slower, never wrong.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        catch_up: CatchUp,
        *,
        heard: Callable[[str], None],
        told: Callable[[dict[str, str]], None],
    ) -> None:
        self._catch_up = catch_up
        self._source = open_source(settings, db, Ears(heard, told, self.look))
        self._wanted = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def live(self) -> bool:
        """Whether word is known to arrive."""
        return self._source.live

    @property
    def reconnects(self) -> int:
        """How often word has come again after some may have been missed."""
        return self._source.reconnects

    async def start(self) -> None:
        """Begin to hear. Raises when the database is not there."""
        await self._source.start()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Stop hearing and asking."""
        await end(self._keeper)
        await self._source.stop()

    def look(self) -> None:
        """Have all watched visits looked at in the table now."""
        self._wanted.set()

    def stats(self) -> Mapping[str, int]:
        """Return how live word stands, and counts of its source's own."""
        return {"live": self.live, "reconnects": self.reconnects, **self._source.stats()}

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
