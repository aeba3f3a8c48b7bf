"""`scopekit rollback`: the flag off for everybody and the queue paused, at once, and all of it undone again."""

import pytest

from config.flags import Flag, is_on
from devstack.stack import Endpoints
from store.pool import Database
from store.tenants import flags
from tests.deploy.own import Admin, own_services
from tests.stack import Services
from tests.support.command import answer, scopekit
from tests.tenants import Tenant


@pytest.fixture(scope="module")
def services(stack: Endpoints, request: pytest.FixtureRequest) -> Services:
    """Give these tests a database of their own: what is turned off here is off for every tenant in it."""
    return own_services(stack, request)


async def _visits(db: Database, tenant: Tenant) -> bool:
    async with db.as_system() as conn:
        return is_on(await flags.of_tenant(conn, tenant.id) or {}, Flag.VISITS)


async def test_a_rollback_and_the_way_forward(
    services: Services, db: Database, admin: Admin, tenant: Tenant, other_tenant: Tenant
) -> None:
    """Off for everybody and paused; a second time changes nothing; undone, it is on for those it was on for."""
    await admin.execute("UPDATE tenant_settings SET feature_flags = '{}' WHERE tenant_id = $1", other_tenant.id)
    visit = await admin.fetchval("INSERT INTO site_visits (tenant_id) VALUES ($1) RETURNING id", tenant.id)
    first = answer(services, "rollback", "--yes", "--reason", "bad release")
    again = answer(services, "rollback", "--yes", "--reason", "bad release")
    assert (first, again) == (first, first)
    assert not await _visits(db, tenant)
    assert await admin.fetchval("SELECT count(*) FROM queue_control WHERE name = 'all'") == 1
    assert answer(services, "rollback", "--undo", "--yes")["queue"] == "running"
    assert [await _visits(db, each) for each in (tenant, other_tenant)] == [True, False]
    assert await admin.fetchval("SELECT count(*) FROM queue_control WHERE name = 'all'") == 0
    assert await admin.fetchval("SELECT EXISTS (SELECT FROM site_visits WHERE id = $1)", visit)


async def test_what_somebody_else_paused_stays_paused(services: Services, admin: Admin, tenant: Tenant) -> None:
    """Undone, a rollback resumes what it paused itself; where nothing was rolled back there is nothing to undo."""
    answer(services, "queue", "pause", "all", "--reason", "disk full")
    refused = scopekit(services, "rollback", "--undo", "--yes")
    assert refused.returncode == 4
    assert "is not killed" in refused.stderr
    answer(services, "rollback", "--yes")
    assert answer(services, "rollback", "--undo", "--yes")["queue"] == "paused"
    assert await admin.fetchval("SELECT reason FROM queue_control WHERE name = 'all'") == "disk full"
    answer(services, "queue", "resume", "all")


async def test_a_pause_with_an_end_is_kept_beside_a_rollback(services: Services, admin: Admin, tenant: Tenant) -> None:
    """It would not hold the rollback, so it waits; undone, it goes on to its own end, or is over by then."""
    pause = "SELECT reason, until FROM queue_control WHERE name = 'all'"
    await admin.execute("SELECT scopekit.pause_queue('all', 'model upgrade', now() + interval '2 hours')")
    before = await admin.fetchrow(pause)
    for hours_pass, queue, after in ((False, "paused", before), (True, "running", None)):
        answer(services, "rollback", "--yes")
        assert await admin.fetchval("SELECT until FROM queue_control WHERE name = 'all'") is None
        if hours_pass:
            await admin.execute("UPDATE queue_control SET held_until = now()")
        assert answer(services, "rollback", "--undo", "--yes")["queue"] == queue
        assert await admin.fetchrow(pause) == after


async def test_a_rollback_asks_first(services: Services, db: Database, tenant: Tenant) -> None:
    """Without a terminal and without --yes nothing is changed, and a dry run only tells."""
    assert scopekit(services, "rollback").returncode == 4
    assert scopekit(services, "rollback", "--dry-run").returncode == 0
    assert scopekit(services, "rollback", "--flag", "no.such", "--yes").returncode == 2
    assert await _visits(db, tenant)
