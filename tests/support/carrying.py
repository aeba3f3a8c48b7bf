"""A session that carries the event bus, beside other tests in the same server."""

from typing import TYPE_CHECKING

from store.events import event_bus

if TYPE_CHECKING:
    import asyncpg


async def begin_to_carry(carrier: "asyncpg.Connection[asyncpg.Record]") -> str:
    """Make this session the carrier; returns a snapshot after which every event is noted.

    That is once the transactions of other tests that had begun before have ended: the caller has the deadline.
    """
    opened = await event_bus.become_leader(carrier) or 0
    while (snapshot := await event_bus.position(carrier, opened)) is None:
        continue
    return snapshot
