"""A database with a year in it, beside an empty one: `python -m benchmarks.year [--scale 0.1]`.

At scale 1 it has 2,000 companies, 300,000 visits, 1.5 million media, 6 million events and 4 million lines. Prints the
p50 of what operators, workers and a busy company ask, in turns; the goal is at most 1.5 times the empty one.
`--explain` adds the plan of what grew.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from uuid import UUID

import asyncpg

from devstack.stack import Endpoints, Stack
from store.pool import Connection, use_json
from store.queue import spending
from tests.stack import make_services, make_template
from tests.tenants import Tenant, make_tenant

VISITS = 300_000
COMPANIES = 2000
GOAL = 1.5
LEAST_MS = 3.0  # below it a ratio says nothing: it is the way to the server
_HASH = "repeat('a', 64)"

# What is asked, of one company and one of its visits. Each runs in a transaction that is undone.
_OPERATORS = {
    "usage by company": "SELECT * FROM scopekit.tenant_usage()",
    "queue: depths": "SELECT * FROM scopekit.queue_depths()",
    "queue: kinds": "SELECT * FROM scopekit.queue_kinds()",
    "queue: health": "SELECT * FROM scopekit.queue_health()",
    "queue: minutes": "SELECT * FROM scopekit.queue_minutes()",
    "dead letters: growth": "SELECT * FROM scopekit.dead_letter_growth()",
    "dead letters: causes": "SELECT * FROM scopekit.dead_letter_causes()",
    "alerts": "SELECT public.check_processing_slo(), public.check_upload_retries(), public.check_analytics_outbox()",
    "analytics outbox": "SELECT * FROM scopekit.outbox_state()",
}
_SPENT = Path(spending.__file__).with_suffix(".sql").read_text()
_WORKERS = {
    "claim": "SELECT * FROM public.claim_ai_jobs(10)",
    "sweep": "SELECT scopekit.sweep(100)",
    "prune jobs": "SELECT scopekit.prune(interval '90 days')",
    "prune events": "SELECT * FROM scopekit.prune_events(interval '400 days', NULL, 500)",
    "model spending": _SPENT.replace("$1", "{tenant}").replace("$2", "{visit}"),
}
_COMPANY = {
    "newest visits": "SELECT * FROM site_visits WHERE tenant_id = {tenant} ORDER BY created_at DESC LIMIT 50",
    "job's state": "SELECT * FROM ai_jobs WHERE visit_id = {visit} ORDER BY created_at DESC LIMIT 1",
    "events of a visit": "SELECT * FROM scopekit.events_after({visit}, 0, 1000)",
    "latest estimate": "SELECT * FROM estimates WHERE visit_id = {visit} ORDER BY version DESC LIMIT 1",
    "media used": "SELECT bytes FROM tenant_storage WHERE tenant_id = {tenant}",
    "delete a visit": "DELETE FROM site_visits WHERE id = {visit}",
}
QUESTIONS = _OPERATORS | _WORKERS | _COMPANY


@dataclass(frozen=True)
class Side:
    """One database, and the company in it that is looked through."""

    admin: Connection
    tenant: Tenant
    visit: UUID


def _filling(tenant: UUID, visits: int, companies: int) -> str:
    values = {"tenant": f"'{tenant}'", "visits": str(visits), "companies": str(companies), "hash": _HASH}
    text = Path(__file__).with_suffix(".sql").read_text()
    for name, value in values.items():
        text = text.replace(f"${name}$", value)
    return text


async def open_side(endpoints: Endpoints, name: str, visits: int, companies: int) -> Side:
    """Make a database and fill it with so many visits of the last year."""
    services = await make_services(endpoints, name)
    admin = await asyncpg.connect(services.admin_url)
    await use_json(admin)
    tenant = await make_tenant(admin)
    await admin.execute(_filling(tenant.id, visits, companies))
    await admin.execute("VACUUM (ANALYZE)")
    visit = await admin.fetchval("SELECT id FROM site_visits WHERE tenant_id = $1 ORDER BY id LIMIT 1", tenant.id)
    return Side(admin, tenant, visit)


@asynccontextmanager
async def _undone(side: Side) -> AsyncIterator[None]:
    """Act as a worker or an operator does, in a transaction that is undone."""
    transaction = side.admin.transaction()
    await transaction.start()
    try:
        await side.admin.execute("SET LOCAL ROLE service_role")
        yield
    finally:
        await transaction.rollback()


async def ask(side: Side, question: str) -> float:
    """Ask one question, undo what it did, and return the milliseconds it took."""
    async with _undone(side):
        began = time.perf_counter()
        await side.admin.fetch(_asked(side, question))
        return (time.perf_counter() - began) * 1000


async def explain(side: Side, question: str) -> str:
    """Return the plan of a question, with what it read."""
    async with _undone(side):
        rows = await side.admin.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {_asked(side, question)}")
    return "\n".join(row[0] for row in rows)


async def rows_read(side: Side, question: str) -> dict[str, int]:
    """Return the rows of each table that a question reads where indexes are preferred to scans."""
    async with _undone(side):
        await side.admin.execute("SET LOCAL enable_seqscan = off")
        before = await _rows_counted(side)
        await side.admin.fetch(_asked(side, question))
        after = await _rows_counted(side)
    return {table: rows - before.get(table, 0) for table, rows in after.items()}


async def _rows_counted(side: Side) -> dict[str, int]:
    # The server passes a session's counts on once a second: until then those of earlier transactions are in here too.
    rows = await side.admin.fetch(
        "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) AS rows FROM pg_stat_xact_user_tables"
    )
    return {row["relname"]: row["rows"] for row in rows}


def _asked(side: Side, question: str) -> str:
    return QUESTIONS[question].format(tenant=f"'{side.tenant.id}'", visit=f"'{side.visit}'")


async def compare(endpoints: Endpoints, scale: float, rounds: int, *, explained: bool) -> None:
    """Fill both, ask in turns, and print the table."""
    began = time.monotonic()
    empty = await open_side(endpoints, "empty", 50, 1)
    full = await open_side(endpoints, "year", round(VISITS * scale), round(COMPANIES * scale))
    print(f"filled at scale {scale:g} in {time.monotonic() - began:.0f} s")
    for question in QUESTIONS:
        took: dict[str, list[float]] = {"empty": [], "full": []}
        for _ in range(rounds):
            took["empty"].append(await ask(empty, question))
            took["full"].append(await ask(full, question))
        before, after = median(took["empty"]), median(took["full"])
        grew = after > max(LEAST_MS, GOAL * before)
        print(
            f"{question:22} {before:8.2f} -> {after:8.2f} ms ({after / before:6.1f} x){'  GREW' if grew else ''}",
            flush=True,
        )
        if grew and explained:
            print(await explain(full, question))
    for side in (empty, full):
        await side.admin.close()


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--explain", action="store_true")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="scopekit-bench-") as directory,
        Stack(Path(directory) / "stack", durable=False) as endpoints,
    ):
        asyncio.run(make_template(endpoints))
        asyncio.run(compare(endpoints, options.scale, options.rounds, explained=options.explain))


if __name__ == "__main__":
    main()
