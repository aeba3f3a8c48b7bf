"""Writers of events that live through every fault, and know what the database has promised them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import TypeAlias

import asyncpg

from benchmarks.realtime.site import Connection, Site

# So many rows in one statement; each is numbered and notified by the trigger.
INSERT = """
INSERT INTO processing_events (visit_id, tenant_id, type, payload)
SELECT $1, $2, 'step.completed',
       jsonb_build_object('t', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
                          'w', $3::int, 'n', $4::int + i, 'text', $5::text)
FROM generate_series(0, $6::int - 1) AS i
RETURNING seq, (payload ->> 'n')::int AS n
"""
AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
COMMAND_SECONDS = 15.0
RETRY_SECONDS = 0.2
ROWS = 7
PATIENT = 2  # so many writers wait for the flush of their commits, and with it for all before them
# Characters and sizes that have broken streams before: line ends, escapes, astral planes.
SCRIPT = 'ok \U0001f6a7 "q" \\ \r\n \r \n \u2028 \\u0000 data: x\n\nid: 9\n'

Key: TypeAlias = tuple[int, int]


class Writers:
    """`acked` maps (writer, number) to (visit number, seq) for all that was committed for certain.

    Most writers commit as progress does, without waiting for the flush: of theirs a crash may take back the last, and
    only their number is kept, in `hoped`.
    """

    def __init__(self, site: Site, seed: int) -> None:
        self.acked: dict[Key, tuple[int, int]] = {}
        self.hoped = 0
        self._site = site
        self._seed = seed
        self._next: dict[int, int] = {}
        self._transactions = 0

    @contextlib.asynccontextmanager
    async def running(self, number: int, *, transactions_per_second: float) -> AsyncIterator[None]:
        """Write from so many connections until the block is left."""
        pause = number / transactions_per_second
        tasks = [asyncio.create_task(self._write_for_ever(writer, pause)) for writer in range(number)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def hold(self, random: Random, *, transactions: int, longest_s: float) -> None:
        """Open transactions over a few visits each, and commit or abandon them in another order than they began."""
        visits = random.sample(range(len(self._site.visits)), min(len(self._site.visits), transactions * 2))
        waits = [random.uniform(0.05, longest_s) for _ in range(transactions)]
        held = [
            self._hold_one(1000 + i, sorted(visits[2 * i : 2 * i + 2]), wait, Random(random.random()))
            for i, wait in enumerate(waits)
        ]
        await asyncio.gather(*held)

    async def _hold_one(self, writer: int, visits: Sequence[int], wait_s: float, random: Random) -> None:
        with contextlib.suppress(*AWAY):
            connection = await self._connect()
            try:
                transaction = connection.transaction()
                await transaction.start()
                found = [await self._insert(connection, writer, visit, random) for visit in visits]
                await asyncio.sleep(wait_s)
                if random.random() < 0.25:
                    await transaction.rollback()
                    return
                await transaction.commit()
                for part in found:
                    self.acked.update(part)
            finally:
                connection.terminate()

    async def _write_for_ever(self, writer: int, pause_s: float) -> None:
        random = Random(self._seed * 1000 + writer)
        while True:
            try:
                connection = await self._connect()
            except AWAY:
                await asyncio.sleep(random.uniform(0.5, 1.5) * RETRY_SECONDS)
                continue
            try:
                if writer >= PATIENT:
                    await connection.execute("SET synchronous_commit = off")
                await self._write(connection, writer, pause_s, random)
            except AWAY:
                await asyncio.sleep(random.uniform(0.5, 1.5) * RETRY_SECONDS)
            finally:
                connection.terminate()

    async def _write(self, connection: Connection, writer: int, pause_s: float, random: Random) -> None:
        while True:
            await asyncio.sleep(random.expovariate(1 / pause_s))
            visit = random.randrange(len(self._site.visits))
            async with connection.transaction():
                found = await self._insert(connection, writer, visit, random)
            if writer < PATIENT:
                self.acked.update(found)
            else:
                self.hoped += len(found)

    async def _insert(
        self, connection: Connection, writer: int, visit: int, random: Random
    ) -> dict[Key, tuple[int, int]]:
        rows = random.randint(1, ROWS)
        first = self._next.get(writer, 0)
        self._next[writer] = first + rows  # never used again, whatever becomes of the transaction
        text = _text(random)
        visit_id = self._site.visits[visit]
        tenant_id = self._site.tenant_of(visit).id
        found = await connection.fetch(
            INSERT, visit_id, tenant_id, writer, first, text, 1 if len(text) > 5000 else rows
        )
        return {(writer, row["n"]): (visit, row["seq"]) for row in found}

    async def _connect(self) -> Connection:
        return await asyncpg.connect(
            self._site.services.admin_url, timeout=COMMAND_SECONDS, command_timeout=COMMAND_SECONDS
        )


def _text(random: Random) -> str:
    """Return mostly a short text; one in 25 nearly fills a notification, one in 100 does not fit one."""
    dice = random.random()
    if dice < 0.002:
        return SCRIPT * 3000
    if dice < 0.01:
        return SCRIPT * random.randint(250, 700)
    if dice < 0.05:
        return SCRIPT * random.randint(20, 150)
    return SCRIPT[: random.randint(0, len(SCRIPT))]
