"""Webhooks while workers are killed: `python -m benchmarks.webhooks [--events N] [--kills N]`.

A stack and two real workers, one of which is killed with SIGKILL every few seconds and replaced, until every event is
delivered. Five companies make visits, some in transactions that are rolled back. One receiver in five hundred answers
says 503. The ledger compares what was committed with what the receiver took: nothing is lost, nothing is invented, each
event has one id, and each signature is good.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from devstack.stack import Stack
from store.pool import Database, use_json
from store.webhooks import endpoints, signature
from store.webhooks.endpoints import Endpoint
from tests.product import end
from tests.stack import Services, make_bucket, make_services, make_template
from tests.support.servers.web import serve_in_thread
from tests.support.waiting import until
from tests.tenants import make_tenant

COMPANIES = 5
WORKERS = 2
BATCH = 50
ROLLED_BACK_ONE_IN = 10
FAILS_ONE_IN = 500
KILL_EVERY_SECONDS = (6.0, 12.0)
DEADLINE_SECONDS = 540.0


@dataclass
class Ledger:
    """What the receiver took, by `webhook-id`, and the signatures that were wrong."""

    taken: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    unsigned: int = 0
    secrets: dict[str, str] = field(default_factory=dict)  # by the receiver's path
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    async def take(self, request: Request) -> Response:
        """Check and count one POST."""
        body, sent_as = await request.body(), request.headers["webhook-id"]
        try:
            Webhook(self.secrets[request.path_params["company"]]).verify(body, dict(request.headers))
        except Exception:  # noqa: BLE001 - whatever it is, it is counted
            self.unsigned += 1
        if self.chance.randrange(FAILS_ONE_IN) == 0:
            self.refused += 1
            return Response(status_code=503)
        self.taken[sent_as] += 1
        return Response(status_code=204)


class Workers:
    """Worker processes of which one after the other is killed and replaced."""

    def __init__(self, services: Services, logs: Path) -> None:
        self._environment = services.environment(
            FUNCTION_NAME="worker", WEBHOOK_NETWORKS="127.0.0.0/8", LOG_LEVEL="warning"
        )
        self._logs = logs
        self._running = [self._start() for _ in range(WORKERS)]
        self.kills = 0

    def kill_one(self) -> None:
        """Kill one, and start another."""
        victim = self._running.pop(0)
        victim.kill()
        victim.wait()
        self.kills += 1
        self._running.append(self._start())

    def stop(self) -> None:
        """End all."""
        for worker in self._running:
            end(worker)

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._logs / "workers.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "jobs.worker"], env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )


async def happen(services: Services, events: int, ledger: Ledger, url: str) -> None:
    """Make the companies and their endpoints, then their visits."""
    admin = await asyncpg.connect(services.admin_url)
    await use_json(admin)
    gateway = await Database.open(services.gateway_url, name="bench", size=2)
    tenants = [await make_tenant(admin) for _ in range(COMPANIES)]
    for number, tenant in enumerate(tenants):
        async with gateway.as_user(tenant.claims) as conn:
            _, secret = await endpoints.create(conn, Endpoint(f"{url}/{number}", "", ("visit.created",)))
        ledger.secrets[str(number)] = secret
    await gateway.close()
    for nth in range(0, events, BATCH):
        change = admin.transaction()
        await change.start()
        made = "INSERT INTO site_visits (tenant_id) SELECT $1 FROM generate_series(1, $2)"
        await admin.execute(made, tenants[nth // BATCH % COMPANIES].id, min(BATCH, events - nth))
        await change.commit()
        if nth // BATCH % ROLLED_BACK_ONE_IN == 0:
            undone = admin.transaction()
            await undone.start()
            await admin.execute(made, tenants[0].id, 1)
            await undone.rollback()
    await admin.close()


async def kill_until_done(services: Services, workers: Workers, kills: int) -> bool:
    """Kill workers until nothing is pending, `kills` times at most; tell whether all was delivered in time."""
    admin = await asyncpg.connect(services.admin_url)
    chance, deadline = random.Random(2), time.monotonic() + DEADLINE_SECONDS
    next_kill = time.monotonic() + chance.uniform(*KILL_EVERY_SECONDS)
    try:
        while await admin.fetchval("SELECT EXISTS (SELECT FROM webhook_deliveries WHERE state = 'pending')"):
            if time.monotonic() > deadline:
                return False
            if workers.kills < kills and time.monotonic() > next_kill:
                workers.kill_one()
                next_kill = time.monotonic() + chance.uniform(*KILL_EVERY_SECONDS)
            await asyncio.sleep(0.2)
    finally:
        await admin.close()
    return True


async def verdict(services: Services, ledger: Ledger) -> dict[str, Any]:
    """Compare what was committed with what was taken."""
    admin = await asyncpg.connect(services.admin_url)
    committed = {signature.message_id(str(row["id"])) for row in await admin.fetch("SELECT id FROM webhook_messages")}
    dead = await admin.fetchval("SELECT count(*) FROM jobs_dlq WHERE job_type = 'webhook'")
    visits = await admin.fetchval("SELECT count(*) FROM site_visits")
    await admin.close()
    return {
        "visits": visits,
        "events": len(committed),
        "lost": len(committed - ledger.taken.keys()),
        "invented": len(ledger.taken.keys() - committed),
        "delivered again": sum(ledger.taken.values()) - len(ledger.taken),
        "answered 503": ledger.refused,
        "wrong signatures": ledger.unsigned,
        "dead letters": dead,
    }


async def run(services: Services, logs: Path, events: int, kills: int) -> bool:
    """Run it and print the ledger; tell whether it is clean."""
    await make_bucket(services)
    ledger, began = Ledger(), time.monotonic()
    app = Starlette(routes=[Route("/{company}", ledger.take, methods=["POST"])])
    with serve_in_thread(app) as url:
        workers = Workers(services, logs)
        try:
            done, _ = await asyncio.gather(_delivered(services, workers, kills), happen(services, events, ledger, url))
        finally:
            workers.stop()
        found = await verdict(services, ledger)
    print(f"{time.monotonic() - began:.0f} s, {workers.kills} kills, {os.cpu_count()} processors, in time: {done}")
    for name, value in found.items():
        print(f"  {name:<18} {value:>7}")
    wrong = ("lost", "invented", "wrong signatures", "dead letters")
    return done and found["visits"] == found["events"] == events and not any(found[name] for name in wrong)


async def _delivered(services: Services, workers: Workers, kills: int) -> bool:
    admin = await asyncpg.connect(services.admin_url)
    await until(lambda: admin.fetchval("SELECT EXISTS (SELECT FROM webhook_deliveries)"))
    await admin.close()
    return await kill_until_done(services, workers, kills)


async def _services(stack: Any) -> Services:
    await make_template(stack)
    return await make_services(stack, "main")


def main() -> int:
    """Run as asked on the command line; 1 where the ledger is not clean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scopekit-bench-") as name, Stack(Path(name) / "stack") as stack:
        services = asyncio.run(_services(stack))
        return 0 if asyncio.run(run(services, Path(name), options.events, options.kills)) else 1


if __name__ == "__main__":
    sys.exit(main())
