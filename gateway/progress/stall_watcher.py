"""Looks for watched visits whose jobs stand still, so that their streams say it within ten seconds.

Each gateway looks for its own streams; what two of them see is told once. With no worker there, nobody else could tell.
"""

import asyncio
import random
from collections.abc import Callable, Sequence

from config.logging import get_logger
from store.pool import AWAY, Database
from store.queue import stalls

log = get_logger(__name__)

LOOK_SECONDS = 1.0


class StallWatcher:
    """`watched` returns the visits that streams of this process are about."""

    def __init__(self, db: Database, watched: Callable[[], Sequence[str]]) -> None:
        self._db = db
        self._watched = watched

    async def watch_forever(self) -> None:
        """Look every second, while there are streams; a database that is away is asked the next time."""
        while True:
            await asyncio.sleep(LOOK_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311 - spreads load
            try:
                await self.look()
            except AWAY as error:
                log.info("It was not looked whether jobs stand still", error=type(error).__name__)

    async def look(self) -> int:
        """Look once; returns how many streams were told something."""
        watched = self._watched()
        if not watched:
            return 0
        async with self._db.connection() as conn:
            told = await stalls.report(conn, watched)
        if told:
            log.warning("Watched jobs stand still, or go on again", jobs=told)
        return told
