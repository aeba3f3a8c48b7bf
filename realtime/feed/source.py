"""Where notifications come from: one interface for NOTIFY and for the bus, and its promises.

Invariants, which tests/realtime holds for every source alike:

 1 While `live`, a notification of every event that was committed since the last `on_missed` comes by `on_event`, within
   a moment, unless `on_missed` is called again first. It may come late, twice or not in order: that is the channels'
   matter.
 2 A noticed loss - the connection, an answer, an entry of the bus - is reported by `on_missed`, once
   notifications can come again, so that a look at the table then leaves no hole; and `reconnects` has moved on before
   it.
 3 A source that brings nothing is not `live` within 3 s, for any cause, and keeps trying, with jitter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from config.logging import get_logger
from store.events import events
from store.pool import Database

_log = get_logger(__name__)

# What is notified besides events: flags, removed members, cancels. Rare, and by NOTIFY, whatever events come by.
CONTROL = "scopekit_control"


@dataclass(frozen=True)
class SourceCallbacks:
    """A source's callbacks: for an event, for a control message, and when something may have been missed."""

    on_event: Callable[[str], None]
    on_control: Callable[[dict[str, Any]], None]
    on_missed: Callable[[], None]


class Source(Protocol):
    """Brings notifications of committed events. The table is polled while it does not."""

    @property
    def live(self) -> bool:
        """Whether notifications are known to arrive."""

    @property
    def reconnects(self) -> int:
        """How often notifications have come again after some may have been missed."""

    async def start(self) -> None:
        """Begin; in a few seconds it is known whether notifications arrive. May raise the errors of connecting."""

    async def stop(self) -> None:
        """End, and let other processes know that depend on this one."""

    def stats(self) -> Mapping[str, int]:
        """Return counts of one's own, besides those of every source."""


async def send_test(db: Database, nonce: str) -> None:
    """Send a test message by another connection than the one that listens: one's own comes back by a pooler, too."""
    async with db.connection() as conn:
        await events.notify(conn, CONTROL, orjson.dumps({"kind": "test", "nonce": nonce}).decode())


def parse_control(text: str) -> dict[str, Any] | None:
    """Read a message of the control channel; None, and a line in the log, where it is none of ours."""
    try:
        message = orjson.loads(text)
        message["kind"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        _log.warning("Unknown message on the control channel", size=len(text))
        return None
    found: dict[str, Any] = message
    return found
