"""What the traffic leaves in the tables, and for how long it stays there."""

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.realtime.site import Connection

# What may grow, and what bounds it. A table that grows and is not named here is told as a leak.
WITH_THE_VISIT = "as long as its visit"
A_MONTH = "30 days after its end, by the task `prune`"
RETENTION = {
    "site_visits": "the contractor's own, until they are removed",
    "site_visit_media": WITH_THE_VISIT,
    "transcripts": WITH_THE_VISIT,
    "estimates": WITH_THE_VISIT,
    "estimate_lines": WITH_THE_VISIT,
    "shares": WITH_THE_VISIT,
    "share_views": WITH_THE_VISIT,
    "share_activity": WITH_THE_VISIT,
    "share_decisions": WITH_THE_VISIT,
    "visit_streams": WITH_THE_VISIT,
    "processing_events": WITH_THE_VISIT + ": a stream's numbers have no gap",
    "jobs": A_MONTH,
    "job_steps": A_MONTH,
    "analytics_events": "kept: the receiver's to forget",
    "cancelled_spending": "kept: a tenant's bill",
    "resumable_uploads": "three days, and up to a week until the cleanup",
    "queue_samples": "a day, by the task `sample`",
    "ops_audit": "kept: what operators did",
}

SIZES = """
SELECT relname AS name, pg_total_relation_size(relid) AS bytes FROM pg_stat_user_tables WHERE schemaname = 'public'
"""


class Size(NamedTuple):
    """Of one table, with its indexes."""

    rows: int
    mib: float


async def sizes(connection: Connection) -> dict[str, Size]:
    """Count all tables; exactly, as what the server estimates may be a row off."""
    found = {}
    for row in await connection.fetch(SIZES):
        rows = await connection.fetchval(f'SELECT count(*) FROM public."{row["name"]}"')  # noqa: S608 - the catalogue's
        found[row["name"]] = Size(rows, row["bytes"] / 2**20)
    return found


def unexplained(before: Mapping[str, Size], after: Mapping[str, Size]) -> list[str]:
    """Name the tables that grew though nothing says how long their rows stay."""
    return [name for name, size in after.items() if size.rows > before[name].rows and name not in RETENTION]
