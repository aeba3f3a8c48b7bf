"""Where live word comes from: one interface for NOTIFY and for the bus, and what it has to keep to.

Invariants, which tests/realtime holds for every source alike:

 1 While `live`, word of every event that was committed since the last `missed` comes by `heard`, within a moment,
   unless `missed` is called again first. It may come late, twice or not in order: that is the channels' matter.
 2 What is noticed to be lost - the connection, an answer, a link of the chain - is told by `missed`, once word can come
   again, so that a look at the table then leaves no hole; and `reconnects` has moved on before it.
 3 A source that brings nothing is not `live` within 3 s, whatever has become of it, and keeps trying, with jitter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from config.logging import get_logger
from store.events import events
from store.pool import Database

_log = get_logger(__name__)

# What is told to whom besides events: flags, removed members, cancels. Rare, and by NOTIFY, whatever events come by.
CONTROL = "scopekit_control"


@dataclass(frozen=True)
class Ears:
    """Whom a source tells: of an event, of what else happens, and that something may have been missed."""

    heard: Callable[[str], None]
    told: Callable[[dict[str, str]], None]
    missed: Callable[[], None]


class Source(Protocol):
    """Brings live word of what is committed. The table is asked while it does not."""

    @property
    def live(self) -> bool:
        """Whether word is known to arrive."""

    @property
    def reconnects(self) -> int:
        """How often word has come again after some may have been missed."""

    async def start(self) -> None:
        """Begin; in a few seconds it is known whether word arrives. May raise what its connect raises."""

    async def stop(self) -> None:
        """End, and let others know who depend on this process."""

    def stats(self) -> Mapping[str, int]:
        """Return counts of one's own, besides what every source has."""


async def say_to_ourselves(db: Database, nonce: str) -> None:
    """Send a test's word by another connection than the one that listens: one's own comes back by a pooler, too."""
    async with db.connection() as conn:
        await events.notify(conn, CONTROL, orjson.dumps({"kind": "test", "nonce": nonce}).decode())


def control_word(text: str) -> dict[str, Any] | None:
    """Read a word of the control channel; None, and a line in the log, where it is none of ours."""
    try:
        word = orjson.loads(text)
        word["kind"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        _log.warning("Not understood on the control channel", size=len(text))
        return None
    found: dict[str, Any] = word
    return found
