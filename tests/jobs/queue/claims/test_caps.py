"""The cap of a tenant: at every commit no more of its jobs run than it allows, whoever claims at the same moment."""

import asyncio
from collections import Counter

from store.pool import Database
from store.queue import jobs
from tests.jobs.conftest import MINUTE, Bench
from tests.stack import Services


async def _running(bench: Bench) -> int:
    count: int = await bench.admin.fetchval(
        "SELECT count(*) FROM ai_jobs WHERE status = 'running' AND tenant_id = $1", bench.tenant.id
    )
    return count


async def test_parallel_claimers_never_exceed_a_cap(bench: Bench, other: Bench, services: Services) -> None:
    """Eight sessions claim at once; the capped tenant has three jobs running, the other all of its own."""
    for _ in range(20):
        await bench.enqueue()
        await other.enqueue()
    await bench.admin.execute("UPDATE tenant_settings SET max_running_jobs = 3 WHERE tenant_id = $1", bench.tenant.id)
    db = await Database.open(services.worker_url, name="claimers", size=8, role="service_role")

    async def claimer(name: str) -> list[object]:
        found: list[object] = []
        for _ in range(6):
            async with db.connection() as conn:
                rows = await jobs.claim(conn, 4, name, MINUTE)
            found.extend(row["tenant_id"] for row in rows)
        return found

    try:
        taken = await asyncio.gather(*(claimer(f"w{number}") for number in range(8)))
    finally:
        await db.close()
    assert Counter(tenant for part in taken for tenant in part) == {bench.tenant.id: 3, other.tenant.id: 20}
    assert await _running(bench) == 3


async def test_a_slot_that_falls_free_is_taken_by_the_next(bench: Bench) -> None:
    """One job ends, one more starts; the setting of the worker holds where the tenant has none of its own."""
    for _ in range(4):
        await bench.enqueue()
    async with bench.service.as_system() as conn:
        first = await jobs.claim(conn, 10, "bench", MINUTE, tenant_cap=2)
        assert await jobs.claim(conn, 10, "bench", MINUTE, tenant_cap=2) == []
    assert len(first) == 2
    async with bench.service.as_system() as conn:
        await jobs.complete(conn, jobs.Lease(first[0]["id"], first[0]["lease_token"]), {}, None)
        assert len(await jobs.claim(conn, 10, "bench", MINUTE, tenant_cap=2)) == 1


async def test_a_full_tenant_does_not_hold_up_those_behind_it(bench: Bench, other: Bench) -> None:
    """Jobs of a capped tenant are stepped over, not waited for; a quick claim finds them again when there is room."""
    for _ in range(6):
        await bench.enqueue()
    await bench.admin.execute("UPDATE tenant_settings SET max_running_jobs = 1 WHERE tenant_id = $1", bench.tenant.id)
    behind = await other.enqueue()
    async with bench.service.as_system() as conn:
        rows = await jobs.claim(conn, 3, "bench", MINUTE, everywhere=False)
        assert {row["id"] for row in rows} >= {behind}
        (mine,) = [row for row in rows if row["tenant_id"] == bench.tenant.id]
        await jobs.complete(conn, jobs.Lease(mine["id"], mine["lease_token"]), {}, None)
        assert len(await jobs.claim(conn, 3, "bench", MINUTE, everywhere=False)) == 1


async def test_a_claimer_that_freezes_with_the_lock_of_caps_loses_it(bench: Bench) -> None:
    """A capped claim bounds how long its transaction may stand idle; one that takes no lock does not."""
    await bench.admin.execute("UPDATE tenant_settings SET max_running_jobs = NULL")  # others' caps count too
    bound = "SELECT current_setting('idle_in_transaction_session_timeout')"
    async with bench.service.as_system() as conn:
        before = await conn.fetchval(bound)
        await jobs.claim(conn, 1, "bench", MINUTE)
        assert await conn.fetchval(bound) == before
    async with bench.service.as_system() as conn:
        await jobs.claim(conn, 1, "bench", MINUTE, tenant_cap=1)
        assert await conn.fetchval(bound) == "5s"
