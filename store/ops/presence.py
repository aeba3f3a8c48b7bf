"""Which gateways and workers are at work: each says so every few seconds, and signs off when it leaves."""

import asyncio
import os
import random
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Literal

from config.logging import get_logger
from config.release import release
from store.pool import AWAY, REFUSALS, Connection, Database, Record
from store.queries import Queries

SQL = Queries("ops/presence")

_log = get_logger(__name__)

# As scopekit.worker_seen has it: two signs missed are a worker that has fallen silent.
EVERY_SECONDS = 3.0
# Nobody of a fleet at work is taken for gone.
GONE_AFTER = timedelta(seconds=20)

Kind = Literal["gateway", "worker"]


class Presence:
    """The sign of life of one process, with its release.

    `load` tells how busy it is, `keys` which secrets it uses, by fingerprint. It is also the process's proof that the
    database takes changes: `refusal` says why it took none at the last try.
    """

    def __init__(
        self, db: Database, kind: Kind, load: Callable[[], Mapping[str, Any]], keys: Mapping[str, Any]
    ) -> None:
        self._db = db
        self._kind = kind
        self._load = load
        self._keys = keys
        self._has_arrived = False
        self._is_away = False
        self.refusal: str | None = None

    async def keep_forever(self) -> None:
        """Tell now and then, until cancelled; then sign off, if the database hears it in time."""
        try:
            while True:
                await self.report()
                await asyncio.sleep(EVERY_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311 - spreads load
        finally:
            with suppress(*AWAY):
                async with asyncio.timeout(1.0), self._db.connection() as conn:
                    await conn.execute(SQL.forget, process_name(), self._kind)

    async def report(self) -> None:
        """Tell once; a database that is away is told the next time."""
        try:
            async with self._db.connection() as conn, conn.transaction():
                if not self._has_arrived:
                    # What crashed under this name was somebody else: in a container everybody is process 1.
                    await conn.execute(SQL.forget, process_name(), self._kind)
                load = {**self._load(), "release": release()}
                await conn.execute(SQL.report, process_name(), self._kind, load, dict(self._keys))
            self._has_arrived = True
        except AWAY as error:
            if not self._is_away:
                _log.warning("This process's heartbeat was not written", error=type(error).__name__)
            self._is_away = True
            self.refusal = REFUSALS.get(type(error))
        else:
            self._is_away = False
            self.refusal = None


async def live(conn: Connection) -> list[Record]:
    """Return (name, kind, started_at, seen_at, load, keys) of every process that lives. For operators."""
    return await conn.fetch(SQL.live, GONE_AFTER)


def process_name() -> str:
    """Say which process this is, as in `ai_jobs.worker`."""
    return f"{socket.gethostname()}-{os.getpid()}"
