"""What went wrong, if anything: the subscribers against the table, and the table against what it promised."""

import asyncio
import time
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING

from realtime.tear import leaps

if TYPE_CHECKING:
    from benchmarks.realtime.rig import Rig
    from benchmarks.realtime.site import Connection

COUNTED = ("lost", "doubled", "reordered", "bad_ids", "dead")


async def violations_of(rig: "Rig", *, settle_s: float) -> list[str]:
    """Wait until every subscriber is level with the table, at most so long, and tell each that is not as it should."""
    await rig.mend_all()
    connection = await rig.connect()
    try:
        rig.client.mark(await rig.heads(connection))
        until = time.monotonic() + settle_s
        while rig.client.ask("behind")["behind"] and time.monotonic() < until:  # noqa: ASYNC110 - another process's
            await asyncio.sleep(0.05)
        truth = await _truth(rig, connection)
        broken = await _broken_promises(rig, connection)
    finally:
        await connection.close()
    stats = rig.client.ask("stats")
    counted = [f"{stats[name]} {name}, as counted on the way" for name in COUNTED if stats[name]]
    return counted + _against(rig.client.ask("dump"), truth) + broken


def _against(dump: list[list[int]], truth: list[tuple[int, int, int]]) -> list[str]:
    found = []
    for number, (visit, last, events, crc, connects) in enumerate(dump):
        head, count, true_crc = truth[visit]
        if (last, events) != (head, count):
            found.append(
                f"stream {number} of visit {visit}: reached {last} with {events} events, the table has {count} up to "
                f"{head}; {connects} connects"
            )
        elif crc != true_crc:
            found.append(f"stream {number} of visit {visit}: documents differ from the table's (crc32)")
    return found


async def _truth(rig: "Rig", connection: "Connection") -> list[tuple[int, int, int]]:
    """Return (last seq, events, crc32 of all documents in order) of each visit.

    The table itself must have no gap but the leaps after crashes.
    """
    truth = []
    for visit_id in rig.site.visits:
        rows = await connection.fetch(
            "SELECT seq, scopekit.event_document(e) AS document FROM processing_events e "
            "WHERE visit_id = $1 ORDER BY seq",
            visit_id,
        )
        seqs = [0, *(row["seq"] for row in rows)]
        assert all(b == a + 1 or leaps(a, b) for a, b in pairwise(seqs)), f"the table has a gap in {visit_id}"
        crc = 0
        for row in rows:
            crc = zlib.crc32(row["document"].encode(), crc)
        truth.append((seqs[-1], len(rows), crc))
    return truth


async def _broken_promises(rig: "Rig", connection: "Connection") -> list[str]:
    rows = await connection.fetch(
        "SELECT visit_id, seq, (payload ->> 'w')::int AS w, (payload ->> 'n')::int AS n FROM processing_events"
    )
    numbers = {visit_id: number for number, visit_id in enumerate(rig.site.visits)}
    held = {(row["w"], row["n"]): (numbers[row["visit_id"]], row["seq"]) for row in rows}
    lost = [key for key, place in rig.writers.acked.items() if held.get(key) != place]
    return [f"the table has lost or moved {len(lost)} acknowledged events, such as {lost[0]}"] if lost else []
