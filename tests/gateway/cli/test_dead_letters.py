"""`scopekit dlq` and `scopekit share`, by running them."""

from typing import Any
from uuid import UUID, uuid4

from gateway.cli.dlq import MOST
from store.queue.dead_letters import BATCH
from tests.gateway.ops.letters import bury
from tests.stack import Services
from tests.store.schema.rows import fill_every_table
from tests.support.command import answer, scopekit
from tests.tenants import Tenant


async def test_a_dead_job_is_queued_again_by_id(services: Services, admin: Any, tenant: Tenant) -> None:
    """Under its own id, with no attempt spent; a second time there is nothing to retry."""
    letter, job_id = await bury(admin, tenant)
    assert letter in [UUID(row["id"]) for row in answer(services, "dlq", "list")]
    assert answer(services, "dlq", "retry", str(letter), "--reason", "mended")["retried"] == [str(letter)]
    assert tuple(await admin.fetchrow("SELECT status, attempts FROM ai_jobs WHERE id = $1", job_id)) == ("queued", 0)
    assert scopekit(services, "dlq", "retry", str(letter)).returncode == 3
    await admin.execute("DELETE FROM ai_jobs WHERE id = $1", job_id)


async def test_all_of_a_kind_are_discarded_once_confirmed(services: Services, admin: Any, tenant: Tenant) -> None:
    """Not without `--yes`; the rows stay, and to the tenant the jobs stay failed."""
    letters = [(await bury(admin, tenant, code="cli_test"))[0] for _ in range(2)]
    assert scopekit(services, "dlq", "discard", "--all", "--code", "cli_test").returncode == 4
    causes = answer(services, "dlq", "list", "--by-cause")
    assert [row["letters"] for row in causes if row["error_code"] == "cli_test"] == [2]
    done = answer(services, "dlq", "discard", "--all", "--code", "cli_test", "--yes")
    assert sorted(done["discarded"]) == sorted(map(str, letters))
    kept = "SELECT count(*) FROM ai_jobs_dlq WHERE id = ANY ($1) AND discarded_at IS NOT NULL"
    assert await admin.fetchval(kept, letters) == 2
    failed = (
        "SELECT count(*) FROM scopekit.job_statuses s JOIN ai_jobs_dlq d ON d.original_job_id = s.id "
        "WHERE d.id = ANY ($1) AND s.status = 'failed'"
    )
    assert await admin.fetchval(failed, letters) == 2


async def test_all_are_done_in_batches_up_to_a_limit(services: Services, admin: Any, tenant: Tenant) -> None:
    """The oldest first; however many there are, the newest is found by its id too."""
    rows = (
        "INSERT INTO ai_jobs_dlq (original_job_id, tenant_id, visit_id, job_type, last_error, error_code, attempts, "
        "moved_at) SELECT uuidv7(), $1, $2, 'estimate', 'x', 'cli_many', 3, now() - make_interval(secs => n) "
        "FROM generate_series(1, $3::integer) AS n"
    )
    letter, _ = await bury(admin, tenant, code="cli_many")
    visit = await admin.fetchval("SELECT visit_id FROM ai_jobs_dlq WHERE id = $1", letter)
    await admin.execute("UPDATE ai_jobs_dlq SET moved_at = now() - interval '1 day' WHERE id = $1", letter)
    await admin.execute(rows, tenant.id, visit, BATCH + MOST + 20)
    many = ("--code", "cli_many", "--all", "--yes", "--limit", str(BATCH + 10))
    assert answer(services, "dlq", "discard", *many, "--dry-run") == {"would_be_discarded": BATCH + 10}
    discarded = answer(services, "dlq", "discard", *many)["discarded"]
    assert (len(discarded), discarded[0]) == (BATCH + 10, str(letter))
    oldest = await admin.fetchval(
        "SELECT id FROM ai_jobs_dlq WHERE error_code = 'cli_many' AND retried_at IS NULL ORDER BY moved_at LIMIT 1"
    )
    assert answer(services, "dlq", "retry", str(oldest))["retried"] == [str(oldest)]
    await admin.execute("DELETE FROM ai_jobs_dlq WHERE error_code = 'cli_many'")
    await admin.execute("DELETE FROM ai_jobs WHERE visit_id = $1", visit)


async def test_one_that_cannot_be_retried_keeps_no_other_back(services: Services, admin: Any, tenant: Tenant) -> None:
    """Its visit has another job by now: that is said, the exit code too; the rest is queued."""
    stuck, _ = await bury(admin, tenant, code="cli_mixed")
    free, free_job = await bury(admin, tenant, code="cli_mixed")
    visit = await admin.fetchval("SELECT visit_id FROM ai_jobs_dlq WHERE id = $1", stuck)
    await admin.execute(
        "INSERT INTO ai_jobs (tenant_id, visit_id, job_type) VALUES ($1, $2, 'estimate')", tenant.id, visit
    )
    found = answer(services, "dlq", "retry", "--all", "--code", "cli_mixed", "--yes", code=4)
    assert (found["retried"], [row["id"] for row in found["kept"]]) == ([str(free)], [str(stuck)])
    await admin.execute("DELETE FROM ai_jobs WHERE id = $1 OR visit_id = $2", free_job, visit)


async def test_a_share_is_revoked_by_hand(services: Services, admin: Any, tenant: Tenant) -> None:
    """Of whatever tenant; an unknown one is said; both are written down, the refused one not."""
    visit = await fill_every_table(admin, tenant)
    share = await admin.fetchval("SELECT id FROM shares WHERE visit_id = $1", visit)
    assert answer(services, "share", "revoke", str(share), "--yes", "--reason", "stolen phone") == {
        "revoked": str(share)
    }
    assert await admin.fetchval("SELECT revoked_at IS NOT NULL FROM shares WHERE id = $1", share)
    assert scopekit(services, "share", "revoke", str(uuid4()), "--yes").returncode == 3
    reason = await admin.fetchval("SELECT reason FROM ops_audit WHERE target = $1", str(share))
    assert reason == "stolen phone"
