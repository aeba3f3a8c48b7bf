"""Keeps watched visits level with the table: by notifications while they come, by a query every second otherwise."""

import asyncio
from collections.abc import Callable, Mapping

from config.cancellation import cancel_all
from config.logging import get_logger
from realtime.feed.catchup import CatchUp
from realtime.feed.source import Source, SourceCallbacks
from store.errors import Unavailable

_log = get_logger(__name__)

POLL_SECONDS = 1.0


class Feed:
    """Listens to the source of notifications, and looks at the table whenever that has, or may have, missed something.

    Without notifications the table is looked at every second: slower, never wrong.
    """

    def __init__(
        self,
        catch_up: CatchUp,
        open_source: Callable[[SourceCallbacks], Source],
        *,
        on_event: Callable[[str], None],
        on_control: Callable[[dict[str, str]], None],
    ) -> None:
        self._catch_up = catch_up
        self._source = open_source(SourceCallbacks(on_event, on_control, self.check_table))
        self._wanted = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def live(self) -> bool:
        """Whether notifications are known to arrive."""
        return self._source.live

    @property
    def reconnects(self) -> int:
        """How often notifications have come again after some may have been missed."""
        return self._source.reconnects

    async def start(self) -> None:
        """Begin to listen. Raises when the database is not there."""
        await self._source.start()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Stop listening and asking."""
        await cancel_all(self._keeper)
        await self._source.stop()

    def check_table(self) -> None:
        """Have all watched visits looked at in the table now."""
        self._wanted.set()

    def stats(self) -> Mapping[str, int]:
        """Return whether notifications arrive, and the source's own counts."""
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
            behind = not await self._check_table()

    async def _check_table(self) -> bool:
        """Look at all watched visits; false when that failed, however: nobody would see the keeper end."""
        try:
            await self._catch_up.all()
        except Unavailable as error:
            _log.warning("Positions of watched visits cannot be read", reason=str(error.__cause__))
        except Exception:  # noqa: BLE001 - logged whole
            _log.exception("Positions of watched visits cannot be read")
        else:
            return True
        return False
