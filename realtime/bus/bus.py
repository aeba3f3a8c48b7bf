"""Events by the bus: a stream in Redis that one process of the fleet, the leader, writes and every gateway reads.

Invariants, beside those of every source (`realtime.feed.source`):

 1 An event is put on the bus at most once, after its commit and, of a visit, in order (`realtime.bus.leader`).
 2 Reading begins behind the newest entry, and with the first that then comes the table is read: an event neither
   in that entry nor behind it was committed before, and is in the table.
 3 From there on each entry is the next of its chain, or the table is read again: Redis may lose any of them.
 4 Without an entry for 1.5 s neither server nor leader is believed to be there: reading begins anew, over a new
   connection, and any process that notices tries to become the leader.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from random import SystemRandom

from config.cancellation import cancel_all
from config.logging import get_logger
from realtime.backoff import Backoff
from realtime.bus.entry import Entry, SequenceChecker
from realtime.bus.leader import BusLeader
from realtime.bus.redis_stream import BUS_AWAY, BusStream
from realtime.feed.source import SourceCallbacks, parse_control
from store.pool import Database

_log = get_logger(__name__)

FIRST_SECONDS = 2.0
RETRY_FIRST_SECONDS = 0.05
RETRY_CAP_SECONDS = 2.0
# For the leader to publish its farewell, where Redis still answers.
FAREWELL_SECONDS = 1.0


class Bus:
    """Reads the leader's entries from the bus, and may be the leader itself."""

    def __init__(self, db: Database, listen_url: str, bus_url: str, callbacks: SourceCallbacks) -> None:
        self._url = bus_url
        self._callbacks = callbacks
        self._sequence = SequenceChecker()
        self._backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_CAP_SECONDS, SystemRandom())
        self._arrives = asyncio.Event()
        self._begun = 0
        self._has_leader = False  # as far as is known here: by an entry that was no farewell
        self._leader = BusLeader(db, listen_url, bus_url, has_leader=lambda: self._has_leader)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def live(self) -> bool:
        """Whether events are known to arrive by the bus."""
        return self._arrives.is_set()

    @property
    def reconnects(self) -> int:
        """How often reading has begun again."""
        return max(0, self._begun - 1)

    async def start(self) -> None:
        """Read, and lead where nobody does. A bus that is away is no reason not to start: the table is polled."""
        self._tasks = [
            asyncio.create_task(self._read_for_ever(), name="bus"),
            asyncio.create_task(self._leader.run(), name="bus leader"),
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._arrives.wait()
        if not self.live:
            _log.error("The event bus delivers nothing: progress is polled every second. Check BUS_URL or REDIS_URL.")

    async def stop(self) -> None:
        """Stop reading; another process may lead at once."""
        await cancel_all(*self._tasks, again_s=FAREWELL_SECONDS)

    def stats(self) -> Mapping[str, int]:
        """Return whether this process is the leader, and how many events it has published."""
        return {"leads": self._leader.is_leader, "published": self._leader.published}

    async def _read_for_ever(self) -> None:
        while True:
            try:
                async with BusStream.connected(self._url) as stream:
                    await self._follow(stream)
            except BUS_AWAY as error:
                self._lose(repr(error))
            except Exception:  # noqa: BLE001 - a reader that ended would do so unseen
                _log.exception("The event bus failed unexpectedly")
                self._lose("see above")
            await asyncio.sleep(self._backoff.next())

    async def _follow(self, stream: BusStream) -> None:
        """Take entry after entry. Raises one of BUS_AWAY when none comes in time."""
        place = await stream.newest()
        while True:
            place, entries = await stream.read(place)
            for entry in entries:
                self._take(entry)

    def _take(self, entry: Entry) -> None:
        if not self._sequence.follows(entry.id):
            self._begin()
        for message in entry.messages:
            self._callbacks.on_event(message)
        for text in entry.control:
            if (control := parse_control(text)) is not None:
                self._callbacks.on_control(control)
        self._has_leader = not entry.farewell
        if entry.farewell:
            self._leader.wake()

    def _begin(self) -> None:
        """Trust entries from this one on; the table has the earlier events."""
        self._begun += 1
        self._backoff.reset()
        if not self.live:
            _log.info("Events arrive by the bus")
        self._arrives.set()
        self._callbacks.on_missed()

    def _lose(self, reason: str) -> None:
        if self.live:
            _log.error("The event bus delivers nothing: progress is polled every second", reason=reason)
        else:
            _log.warning("The event bus delivers nothing", attempt=self._backoff.attempts, reason=reason)
        self._has_leader = False
        self._arrives.clear()
        self._sequence.reset()
        self._leader.wake()
        self._callbacks.on_missed()
