"""Workers that are killed while they send: every mail arrives, and is one message to whoever receives it."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from tests.gateway.shares.documents import Visit, make_share
from tests.product import process
from tests.stack import Services
from tests.support.mail_jobs import MailJobs
from tests.support.servers.mail_catcher import Catcher
from tests.support.waiting import until
from tests.tenants import Tenant

MAILS = int(os.environ.get("SCOPEKIT_LEDGER_MAILS", "200"))
KILLS = 4


async def test_every_mail_arrives_once_in_effect_though_workers_are_killed(
    client: httpx.AsyncClient,
    tenant: Tenant,
    visit: Visit,
    mail_jobs: MailJobs,
    catcher: Catcher,
    admin: Any,
    services: Services,
    tmp_path: Path,
) -> None:
    """Four times in the middle by kill -9; the server greylists some. The ledger: ids queued, ids received."""
    share = await make_share(client, tenant, visit)
    catcher.answers = {"RCPT": ["451 4.7.1 Greylisted"] * (MAILS // 20)}
    rows = await admin.fetch(
        "INSERT INTO mails (tenant_id, kind, visit_id, share_id, address) "
        "SELECT $1, 'estimate', $2, $3, 'c' || n || '@example.com' FROM generate_series(1, $4) n RETURNING id",
        tenant.id,
        visit.id,
        share["id"],
        MAILS,
    )
    queued = {f"<{row['id']}@app.example>" for row in rows}
    environment = services.environment(
        MAIL_URL=catcher.url,
        MAIL_FROM="ScopeKit <post@app.example>",
        PUBLIC_URL="https://app.example",
        FUNCTION_NAME="worker",
    )
    unsent = "SELECT count(*) FROM mails WHERE share_id = $1 AND state <> 'sent'"
    for kill in range(KILLS + 1):
        with ExitStack() as running:
            worker = running.enter_context(process(f"worker-{kill}", ["jobs.worker"], environment, tmp_path))
            left = MAILS - MAILS * (kill + 1) // (KILLS + 1)

            async def has_come(left: int = left) -> bool:
                return bool(await admin.fetchval(unsent, share["id"]) <= left)

            await until(has_come, 60.0)
            if kill < KILLS:
                worker.kill()
    received = [str(mail["Message-ID"]) for mail in catcher.mails]
    assert set(received) == queued
