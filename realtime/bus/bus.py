"""Word by the bus: a stream in Redis that one process of the fleet, the carrier, writes and every gateway reads.

Invariants, beside those of every source (`realtime.feed.source`):

 1 An event is put on the bus at most once, after its commit and, of a visit, in order (`realtime.bus.leader`).
 2 Reading begins behind the newest entry, and with the first that then comes the table is looked at: what is neither in
   that entry nor behind it was committed before, and is in the table.
 3 From there on each entry is the next of its chain, or the table is looked at again: Redis may lose what it likes.
 4 Without an entry for 1.5 s neither server nor carrier is believed to be there: reading begins anew, over a new
   connection, and whoever notices tries to be the carrier.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from random import SystemRandom

from config.cancellation import end
from config.logging import get_logger
from realtime.backoff import Backoff
from realtime.bus.entry import Chain, Entry
from realtime.bus.leader import Carrier
from realtime.bus.redis_stream import BUS_AWAY, BusStream
from realtime.feed.source import Ears, control_word
from store.pool import Database

_log = get_logger(__name__)

FIRST_SECONDS = 2.0
RETRY_FIRST_SECONDS = 0.05
RETRY_CAP_SECONDS = 2.0
# The carrier says farewell, where there is anybody to hear it.
FAREWELL_SECONDS = 1.0


class Bus:
    """Hears what the carrier puts on the bus, and may be the carrier."""

    def __init__(self, db: Database, listen_url: str, bus_url: str, ears: Ears) -> None:
        self._url = bus_url
        self._ears = ears
        self._chain = Chain()
        self._backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_CAP_SECONDS, SystemRandom())
        self._arrives = asyncio.Event()
        self._begun = 0
        self._is_carried = False  # as far as is known here: by an entry that was no farewell
        self._carrier = Carrier(db, listen_url, bus_url, is_carried=lambda: self._is_carried)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def live(self) -> bool:
        """Whether the bus is known to carry."""
        return self._arrives.is_set()

    @property
    def reconnects(self) -> int:
        """How often reading has begun again."""
        return max(0, self._begun - 1)

    async def start(self) -> None:
        """Read, and carry where nobody does. A bus that is away is no reason not to start: the table is polled."""
        self._tasks = [
            asyncio.create_task(self._read_for_ever(), name="bus"),
            asyncio.create_task(self._carrier.carry_for_ever(), name="carrier"),
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._arrives.wait()
        if not self.live:
            _log.error("Nothing comes by the event bus: progress is polled every second. Check BUS_URL or REDIS_URL.")

    async def stop(self) -> None:
        """Stop reading; another process may carry on at once."""
        await end(*self._tasks, again_s=FAREWELL_SECONDS)

    def stats(self) -> Mapping[str, int]:
        """Return whether this is the carrier, and how many events it has put on the bus."""
        return {"carries": self._carrier.carries, "carried": self._carrier.carried}

    async def _read_for_ever(self) -> None:
        while True:
            try:
                async with BusStream.connected(self._url) as stream:
                    await self._follow(stream)
            except BUS_AWAY as error:
                self._lose(repr(error))
            except Exception:  # noqa: BLE001 - a reader that ended would do so unseen
                _log.exception("The event bus failed in a way not foreseen")
                self._lose("see above")
            await asyncio.sleep(self._backoff.next())

    async def _follow(self, stream: BusStream) -> None:
        """Hear entry after entry. Raises one of BUS_AWAY when none comes in time."""
        place = await stream.newest()
        while True:
            place, entries = await stream.read(place)
            for entry in entries:
                self._take(entry)

    def _take(self, entry: Entry) -> None:
        if not self._chain.follows(entry.mark):
            self._begin()
        for word in entry.words:
            self._ears.heard(word)
        for text in entry.control:
            if (word_of_control := control_word(text)) is not None:
                self._ears.told(word_of_control)
        self._is_carried = not entry.farewell
        if entry.farewell:
            self._carrier.call()

    def _begin(self) -> None:
        """Trust what comes from this entry on; the table has what came before."""
        self._begun += 1
        self._backoff.reset()
        if not self.live:
            _log.info("Events come by the bus")
        self._arrives.set()
        self._ears.missed()

    def _lose(self, reason: str) -> None:
        if self.live:
            _log.error("Nothing comes by the event bus: progress is polled every second", reason=reason)
        else:
            _log.warning("The event bus brings nothing", attempt=self._backoff.attempts, reason=reason)
        self._is_carried = False
        self._arrives.clear()
        self._chain.cut()
        self._carrier.call()
        self._ears.missed()
