"""The whole product at one moment, read in one transaction. For operators."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from store.ops import health, maintenance, presence
from store.pool import Connection, Record
from store.queries import Queries
from store.queue import dead_letters, queue_control
from store.tenants import flags

SQL = Queries("ops/ops")

BACK = timedelta(hours=2)
MOST_LETTERS, MOST_TENANTS, MOST_CHANGES, MOST_ACTIONS = 200, 200, 20, 20


@dataclass(frozen=True)
class OpsSnapshot:
    """How everything stands."""

    now: datetime
    depths: dict[str, Record]
    kinds: list[Record]
    samples: list[Record]
    minutes: list[Record]
    causes: list[Record]
    letters: list[Record]
    processes: list[Record]
    switches: list[dict[str, Any]]
    tenants: list[Record]
    killed: list[Record]
    changes: list[Record]
    usage: list[Record]
    actions: list[Record]


async def read_snapshot(conn: Connection) -> OpsSnapshot:
    """Read it all."""
    return OpsSnapshot(
        now=await conn.fetchval(SQL.now),
        depths={row["status"]: row for row in await health.queue_depths(conn)},
        kinds=await health.queue_kinds(conn),
        samples=await maintenance.samples(conn, BACK),
        minutes=await health.queue_minutes(conn),
        causes=await dead_letters.causes(conn),
        letters=await dead_letters.newest(conn, MOST_LETTERS),
        processes=await presence.live(conn),
        switches=await queue_control.switches(conn),
        tenants=await flags.by_tenant(conn, MOST_TENANTS),
        killed=await flags.killed(conn),
        changes=await flags.history(conn, None, MOST_CHANGES),
        usage=await health.tenant_usage(conn),
        actions=await conn.fetch(SQL.actions, MOST_ACTIONS),
    )
