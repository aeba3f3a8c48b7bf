"""What telling of events costs 32 writers: pgbench with NOTIFY, with the bus, and without either, in turns.

NOTIFY takes a lock of the whole database to the end of the commit, so what a commit waits for (the disk) counts for all
writers, and what a transaction holds (many events) is paid for once. A gateway runs beside the writers, on the same
cores: it listens, or it carries the bus and reads it. Without either a copy of the trigger's function runs. The last
lines are how a worker writes progress.
"""

import asyncio
import os
import re
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from benchmarks.realtime.machine import cpu_seconds
from benchmarks.realtime.site import Site, gateway
from devstack.servers.postgres import binaries

WRITERS = 32
SECONDS = 6
KEPT = 0.90
# synchronous_commit, and events in a transaction.
WAYS = (("on", 1), ("off", 1), ("off", 20))
TELLING = ("NOTIFY", "bus", "nothing")
NOTIFY_IS_CLOSED = "SELECT pg_sequence_last_value('scopekit.notify_transport') = 2"

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


@dataclass
class Taken:
    """What one way of telling made of one way of writing, a value for each turn."""

    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)


def run(site: Site, *, rounds: int) -> None:
    """Take turns and print what is kept, with synchronous commits and without. Leaves the trigger as it was."""
    definition = asyncio.run(_prepare(site.services.admin_url))
    taken: dict[tuple[Way, str], Taken] = defaultdict(Taken)
    for number in range(rounds):
        for how in TELLING[:: 1 if number % 2 else -1]:
            with _telling(site, how, definition) as pid:
                for way in WAYS:
                    before = cpu_seconds(pid)
                    rate = _pgbench(site, *way)
                    taken[way, how].rates.append(rate)
                    taken[way, how].cpu_us.append((cpu_seconds(pid) - before) * 1e6 / (rate * SECONDS))
    for way in WAYS:
        _print(way, {how: taken[way, how] for how in TELLING})


def _print(way: Way, taken: Mapping[str, Taken]) -> None:
    commit, rows = way
    bare = statistics.median(taken["nothing"].rates)
    print(f"{WRITERS} writers, synchronous_commit {commit:<3}, {rows:2} a transaction:", flush=True)
    for how, found in taken.items():
        median = statistics.median(found.rates)
        verdict = f"; {median / bare:.0%} kept ({'met' if median / bare >= KEPT else 'MISSED'})"
        print(
            f"  {how:<8}{median:7,.0f} events/s ({min(found.rates):,.0f}-{max(found.rates):,.0f}), the gateway's CPU "
            f"{statistics.median(found.cpu_us):5.1f} us an event{verdict if how != 'nothing' else ''}"
        )


@contextmanager
def _telling(site: Site, how: str, definition: str) -> Iterator[int]:
    """Have events told so to a gateway, whose process id this gives; afterwards by NOTIFY again."""
    url = site.services.admin_url
    if how == "nothing":
        silent, removed = _NOTIFY.subn("", definition)
        assert removed == 1, "the trigger's function has changed: its pg_notify is not found"
        asyncio.run(_ask(url, silent))
    try:
        with gateway(site, pinned=False, EVENT_BUS="redis" if how == "bus" else "notify") as server:
            while how == "bus" and not asyncio.run(_ask(url, NOTIFY_IS_CLOSED)):
                time.sleep(0.05)
            yield server.pid
    finally:
        asyncio.run(_ask(url, definition))
        asyncio.run(_ask(url, "SELECT scopekit.disable_bus()"))


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


async def _ask(url: str, statement: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
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
        env=os.environ | {"PGPASSWORD": str(at.password), "PGOPTIONS": f"-c synchronous_commit={commit}"},
        capture_output=True,
        text=True,
        timeout=SECONDS + 60,
        check=False,
    )
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if done.returncode or found is None:
        raise SystemExit(f"pgbench failed: {done.stderr[-2000:]}")
    return float(found[1]) * rows
