"""What the trigger's NOTIFY costs 32 writers: pgbench with it and, by a copy of the function, without it, in turns.

NOTIFY takes a lock of the whole database to the end of the commit, so what a commit waits for (the disk) counts for all
writers, and what a transaction holds (many events) is paid for once. The last line is how a worker writes progress.
"""

import asyncio
import os
import re
import statistics
import subprocess
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from benchmarks.realtime.site import Site
from store.embedded.postgres import binaries

WRITERS = 32
SECONDS = 6
KEPT = 0.90
# synchronous_commit, and events in a transaction.
WAYS = (("on", 1), ("off", 1), ("off", 20))

Way = tuple[str, int]

# Each writer has a visit of its own, so that they meet only where all commits meet.
_SETUP = """
DROP TABLE IF EXISTS bench_writers;
CREATE TABLE bench_writers (n int PRIMARY KEY, visit_id uuid, tenant_id uuid);
INSERT INTO bench_writers SELECT row_number() OVER () - 1, id, tenant_id FROM site_visits LIMIT 32;
"""
_SCRIPT = """
INSERT INTO processing_events (visit_id, tenant_id, type, payload)
SELECT visit_id, tenant_id, 'step.progress', '{"step": "transcribe", "done": 3, "total": 9}'
FROM bench_writers, generate_series(1, :rows::int) WHERE n = :client_id;
"""
_NOTIFY = re.compile(r"^.*PERFORM pg_notify\('processing_events'.*$\n", re.MULTILINE)


def run(site: Site, *, rounds: int) -> None:
    """Take turns and print what is kept, with synchronous commits and without. Leaves the trigger as it was."""
    whole = asyncio.run(_prepare(site.services.admin_url))
    silent, removed = _NOTIFY.subn("", whole)
    assert removed == 1, "the trigger's function has changed: its pg_notify is not found"
    taken: dict[tuple[Way, bool], list[float]] = defaultdict(list)
    try:
        for number in range(rounds):
            for notifies in (True, False) if number % 2 else (False, True):
                asyncio.run(_execute(site.services.admin_url, whole if notifies else silent))
                for way in WAYS:
                    taken[way, notifies].append(_pgbench(site, *way))
    finally:
        asyncio.run(_execute(site.services.admin_url, whole))
    for way in WAYS:
        _print(way, taken[way, True], taken[way, False])


def _print(way: Way, with_it: list[float], without: list[float]) -> None:
    ours, bare, (commit, rows) = statistics.median(with_it), statistics.median(without), way
    print(
        f"{WRITERS} writers, synchronous_commit {commit:<3}, {rows:2} a transaction: {ours:7,.0f} events/s with NOTIFY "
        f"({min(with_it):,.0f}-{max(with_it):,.0f}), {bare:7,.0f} without ({min(without):,.0f}-{max(without):,.0f}): "
        f"{ours / bare:.0%} kept ({'met' if ours / bare >= KEPT else 'MISSED'})",
        flush=True,
    )


async def _prepare(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_SETUP)
        definition: str = await connection.fetchval(
            "SELECT pg_get_functiondef('scopekit.number_event()'::regprocedure)"
        )
    finally:
        await connection.close()
    return definition


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _pgbench(site: Site, commit: str, rows: int) -> float:
    """Return events per second over all writers."""
    at = urlsplit(site.services.admin_url)
    script = site.directory / "insert.sql"
    script.write_text(_SCRIPT)
    target = ["-h", str(at.hostname), "-p", str(at.port), "-U", str(at.username), at.path.lstrip("/")]
    options = ["-n", "-M", "prepared", "-c", str(WRITERS), "-j", "2", "-T", str(SECONDS)]
    options += ["-D", f"rows={rows}", "-f", str(script)]
    done = subprocess.run(
        [str(Path(binaries()) / "pgbench"), *options, *target],
        env=os.environ | {"PGOPTIONS": f"-c synchronous_commit={commit}"},
        capture_output=True,
        text=True,
        timeout=SECONDS + 60,
        check=False,
    )
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if done.returncode or found is None:
        raise SystemExit(f"pgbench failed: {done.stderr[-2000:]}")
    return float(found[1]) * rows
