"""What went wrong, if anything: the subscribers against the table, and the table against what it promised.

A subscriber may have been given events that a crash then took back, for they were committed without waiting for their
flush. It must have been told so, by a snapshot, before it was given anything after them; and nothing else excuses a
snapshot, a gap, or an event that the table does not have.
"""

import asyncio
import time
import zlib
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, TypeAlias

from benchmarks.realtime.site import heads
from realtime.protocol.epoch import EPOCH_GAP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.realtime.load import LoadClient
    from benchmarks.realtime.site import Connection, Site
    from benchmarks.realtime.writers import Writers

COUNTED = ("lost", "doubled", "reordered", "bad_ids", "dead")

Given: TypeAlias = "Sequence[tuple[int, int]]"


class Rig(Protocol):
    """Whatever has subscribers and writers."""

    @property
    def site(self) -> "Site":
        """Whose visits are watched."""

    @property
    def client(self) -> "LoadClient":
        """The subscribers."""

    @property
    def writers(self) -> "Writers":
        """Those who have written, and know what they were promised."""

    async def mend_all(self) -> None:
        """Let every subscriber read."""

    async def connect(self) -> "Connection":
        """Connect as the schema's owner."""


@dataclass(frozen=True)
class Truth:
    """What the table has of one visit: seqs in order, and the crc32 of each document."""

    seqs: "Sequence[int]"
    crcs: "Mapping[int, int]"

    def between(self, low: int, high: float) -> int:
        """Return how many events lie between these two, neither counted."""
        return max(0, (len(self.seqs) if high == float("inf") else bisect_right(self.seqs, high - 1)) - self.up_to(low))

    def up_to(self, seq: int) -> int:
        """Return how many events there are up to this one."""
        return bisect_right(self.seqs, seq)


@dataclass
class Verdict:
    """`wrong` are sentences; `taken_back` counts what subscribers were given and a crash then took back."""

    wrong: list[str]
    taken_back: int = 0


async def verdict_of(rig: Rig, *, settle_s: float) -> Verdict:
    """Wait until every subscriber is level with the table, at most so long, and tell each that is not as it should."""
    await rig.mend_all()
    connection = await rig.connect()
    try:
        rig.client.mark(await heads(rig.site, connection))
        until = time.monotonic() + settle_s
        while rig.client.ask("behind")["behind"] and time.monotonic() < until:  # noqa: ASYNC110 - another process's
            await asyncio.sleep(0.05)
        truth = await _truth(rig, connection)
        broken = await _broken_promises(rig, connection)
    finally:
        await connection.close()
    stats = rig.client.ask("stats")
    verdict = Verdict([f"{stats[name]} {name}, as counted on the way" for name in COUNTED if stats[name]])
    for number, (visit, connects, given) in enumerate(rig.client.ask("dump")):
        found = faults_of(truth[visit], given)
        verdict.wrong += [f"stream {number} of visit {visit}, {connects} connects: {text}" for text in found[:3]]
        verdict.taken_back += sum(seq >= 0 and seq not in truth[visit].crcs for seq, _ in given)
    verdict.wrong += broken
    return verdict


def faults_of(truth: Truth, given: Given) -> list[str]:
    """Tell what is wrong with what one subscriber was given, from seq 0 on."""
    found: list[str] = []
    position = 0
    for seq, crc in given:
        real = position == 0 or position in truth.crcs
        if seq < 0:  # a snapshot at -seq - 1
            if real:
                found.append(f"a snapshot after {position}, which the table has")
            position = -seq - 1
            continue
        if seq <= position:
            found.append(f"{seq} after {position}")
        if missing := truth.between(position, seq):
            found.append(f"{missing} missing between {position} and {seq}")
        if not real and seq in truth.crcs:
            found.append(f"{seq} after {position}, which a crash took back, without a snapshot")
        if truth.crcs.get(seq, crc) != crc:
            found.append(f"the document of {seq} differs from the table's")
        position = seq
    if missing := truth.between(position, float("inf")):
        found.append(f"{missing} missing after {position}")
    return found


async def _truth(rig: Rig, connection: "Connection") -> list[Truth]:
    """Read what each visit has. The table itself must have no gap but the leaps after crashes."""
    truth = []
    for visit_id in rig.site.visits:
        rows = await connection.fetch(
            "SELECT seq, scopekit.event_document(e) AS document FROM processing_events e "
            "WHERE visit_id = $1 ORDER BY seq",
            visit_id,
        )
        seqs = [row["seq"] for row in rows]
        assert all(b == a + 1 or b - a > EPOCH_GAP for a, b in pairwise([0, *seqs])), (
            f"the table has a gap in {visit_id}"
        )
        truth.append(Truth(seqs, {row["seq"]: zlib.crc32(row["document"].encode()) for row in rows}))
    return truth


async def _broken_promises(rig: Rig, connection: "Connection") -> list[str]:
    rows = await connection.fetch(
        "SELECT visit_id, seq, (payload ->> 'w')::int AS w, (payload ->> 'n')::int AS n FROM processing_events "
        "WHERE payload ? 'w'"
    )
    numbers = {visit_id: number for number, visit_id in enumerate(rig.site.visits)}
    held = {(row["w"], row["n"]): (numbers[row["visit_id"]], row["seq"]) for row in rows}
    lost = [key for key, place in rig.writers.acked.items() if held.get(key) != place]
    return [f"the table has lost or moved {len(lost)} acknowledged events, such as {lost[0]}"] if lost else []
