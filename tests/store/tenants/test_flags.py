"""Flags: nested whoever writes them, written down, killed and restored; and as a process knows them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from config.flags import Flag, is_on
from store.accounts.notified_cache import MAX_AGE_NOTIFIED, MAX_AGE_UNNOTIFIED
from store.errors import Conflict, NotFound
from store.pool import Database
from store.tenants import flags
from store.tenants.flag_cache import FlagCache
from tests.tenants import ALL_FLAGS, Tenant, make_tenant

SET = "UPDATE tenant_settings SET feature_flags = $2 WHERE tenant_id = $1"


async def _stored(admin: Any, tenant: Tenant) -> dict[str, Any]:
    found: dict[str, Any] = await admin.fetchval(
        "SELECT feature_flags FROM tenant_settings WHERE tenant_id = $1", tenant.id
    )
    return found


async def _history(admin: Any, tenant: Tenant) -> list[tuple[Any, ...]]:
    rows = await admin.fetch(
        "SELECT name, before, after, reason FROM flag_changes WHERE tenant_id = $1 ORDER BY changed_at, name", tenant.id
    )
    return [tuple(row) for row in rows]


@pytest.fixture
async def restored(admin: Any) -> AsyncIterator[None]:
    """Leave no flag killed, whatever happens."""
    yield
    await admin.execute("DELETE FROM flag_kills")


async def test_what_the_runbook_writes_flat_is_stored_nested(admin: Any, tenant: Tenant) -> None:
    """Its provisioning, then its rollback: the rollback reaches what the provisioning set."""
    await admin.execute(SET, tenant.id, {"beta": 1})
    await admin.execute(
        "UPDATE tenant_settings SET feature_flags = feature_flags || '{\"visits.enabled\": true}' WHERE tenant_id = $1",
        tenant.id,
    )
    assert await _stored(admin, tenant) == {"beta": 1, "visits": {"enabled": True}}
    await admin.execute(
        "UPDATE tenant_settings SET feature_flags = jsonb_set(feature_flags, '{visits,enabled}', 'false') "
        "WHERE tenant_id = $1",
        tenant.id,
    )
    assert not is_on(await _stored(admin, tenant), Flag.VISITS)


async def test_every_change_is_written_down(admin: Any, service: Database, tenant: Tenant) -> None:
    """Who, from, to and why; what did not change leaves nothing; SQL by hand is written down too."""
    await admin.execute("DELETE FROM flag_changes WHERE tenant_id = $1", tenant.id)
    async with service.as_system() as conn:
        assert not await flags.set_flag(conn, tenant.id, Flag.ESTIMATION, "too dear", on=False)
    async with service.as_system() as conn:
        await flags.set_flag(conn, tenant.id, Flag.ESTIMATION, "once more", on=False)
    await admin.execute(SET, tenant.id, {"visits": {"enabled": True}})
    assert await _history(admin, tenant) == [
        ("visits.ai_estimation_enabled", True, False, "too dear"),
        ("visits.ai_estimation_enabled", False, None, ""),
        ("visits.ws_progress_enabled", True, None, ""),
    ]


async def test_a_tenant_reads_its_own_history_and_writes_none(
    db: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    """RLS: nobody else's; and no client adds to it."""
    async with db.as_user(other_tenant.claims) as conn:
        rows = await conn.fetch("SELECT DISTINCT tenant_id FROM flag_changes")
        assert [row["tenant_id"] for row in rows] == [other_tenant.id]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("UPDATE flag_changes SET actor = 'somebody else'")


async def test_an_unknown_tenant_is_said(service: Database) -> None:
    """And nothing is made for it."""
    missing = uuid4()
    with pytest.raises(NotFound):
        async with service.as_system() as conn:
            await flags.set_flag(conn, missing, Flag.VISITS, "", on=True)


async def test_only_operators_change_flags(db: Database, tenant: Tenant) -> None:
    """The owner of a tenant is none; the function itself asks."""
    async with db.as_operator(tenant.claims) as conn:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await flags.set_flag(conn, tenant.id, Flag.VISITS, "", on=False)


async def test_a_kill_remembers_what_was_on_and_restores_exactly_that(
    admin: Any, service: Database, tenant: Tenant, restored: None
) -> None:
    """Off stays off, absent stays absent, and everything else that was set meanwhile stays."""
    off = await make_tenant(admin, flags={"visits": {"enabled": True, "ai_estimation_enabled": False}})
    absent = await make_tenant(admin, flags={})
    async with service.as_system() as conn:
        assert await flags.kill(conn, Flag.ESTIMATION, "the model went mad") >= 1
    assert not is_on(await _stored(admin, tenant), Flag.ESTIMATION)
    assert is_on(await _stored(admin, tenant), Flag.VISITS)
    await admin.execute(
        "UPDATE tenant_settings SET feature_flags = feature_flags || '{\"beta\": 1}' WHERE tenant_id = $1", tenant.id
    )
    with pytest.raises(Conflict, match="killed already"):
        async with service.as_system() as conn:
            await flags.kill(conn, Flag.ESTIMATION, "again")
    async with service.as_system() as conn:
        await flags.restore(conn, Flag.ESTIMATION, "it is well")
    assert await _stored(admin, tenant) == ALL_FLAGS | {"beta": 1}
    assert not is_on(await _stored(admin, off), Flag.ESTIMATION)
    assert await _stored(admin, absent) == {}
    with pytest.raises(Conflict, match="not killed"):
        async with service.as_system() as conn:
            await flags.restore(conn, Flag.ESTIMATION, "again")


async def test_nobody_turns_a_killed_flag_on(admin: Any, service: Database, tenant: Tenant, restored: None) -> None:
    """By SQL, by a new tenant or by the operator's own command: it is kept for later; off forgets it."""
    async with service.as_system() as conn:
        await flags.kill(conn, Flag.PROGRESS, "")
    late = await make_tenant(admin)
    await admin.execute(SET, tenant.id, ALL_FLAGS)
    wary = await make_tenant(admin)
    async with service.as_system() as conn:
        assert not await flags.set_flag(conn, late.id, Flag.PROGRESS, "", on=True)
        await flags.set_flag(conn, wary.id, Flag.PROGRESS, "", on=False)
    for each in (late, tenant, wary):
        assert not is_on(await _stored(admin, each), Flag.PROGRESS)
    async with service.as_system() as conn:
        await flags.restore(conn, Flag.PROGRESS, "")
    assert [is_on(await _stored(admin, each), Flag.PROGRESS) for each in (late, tenant, wary)] == [True, True, False]


async def test_sql_on_a_killed_flag_changes_nothing_until_it_is_restored(
    admin: Any, service: Database, tenant: Tenant, restored: None
) -> None:
    """As the README has it: its `true` waits and is written down then, its `false` does not take the flag away."""
    late = await make_tenant(admin, flags={})
    noted = "SELECT count(*) FROM flag_changes WHERE tenant_id = $1 AND after = 'true' AND name = $2"
    async with service.as_system() as conn:
        await flags.kill(conn, Flag.PROGRESS, "")
    before = [await admin.fetchval(noted, each.id, Flag.PROGRESS) for each in (late, tenant)]
    await admin.execute(SET, late.id, {Flag.PROGRESS.value: True})
    await admin.execute(SET, tenant.id, ALL_FLAGS | {Flag.PROGRESS.value: False})
    assert [await admin.fetchval(noted, each.id, Flag.PROGRESS) for each in (late, tenant)] == before
    async with service.as_system() as conn:
        await flags.restore(conn, Flag.PROGRESS, "")
    after = [await admin.fetchval(noted, each.id, Flag.PROGRESS) for each in (late, tenant)]
    assert after == [count + 1 for count in before]
    assert all([is_on(await _stored(admin, each), Flag.PROGRESS) for each in (late, tenant)])


async def test_a_kill_waits_for_who_is_turning_it_on(
    admin: Any, service: Database, tenant: Tenant, restored: None
) -> None:
    """A transaction that has not committed cannot slip past: it is turned off with all others."""
    await admin.execute(SET, tenant.id, {})
    async with asyncio.timeout(30):
        async with service.connection() as conn:
            turning_on = conn.transaction()
            await turning_on.start()
            await conn.execute(SET, tenant.id, ALL_FLAGS)
            killing = asyncio.create_task(_kill(service))
            waits = (
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            while not await admin.fetchval(waits):  # each look is a round trip, which lets the other go on
                continue
            await turning_on.commit()
        await killing
    assert not is_on(await _stored(admin, tenant), Flag.VISITS)
    assert await admin.fetchval("SELECT count(*) FROM killed_flag_tenants WHERE tenant_id = $1", tenant.id) == 1
    async with service.as_system() as conn:
        await flags.restore(conn, Flag.VISITS, "")


async def _kill(service: Database) -> None:
    async with service.as_system() as conn:
        await flags.kill(conn, Flag.VISITS, "")


# As a process knows them --------------------------------------------------------------------------------------------


class Clock:
    """Time that a test moves, and the connection that brings word."""

    def __init__(self) -> None:
        self.now = 0.0
        self.generation: int | None = 1

    def cache(self, db: Database) -> FlagCache:
        """Make a cache that goes by this clock."""
        return FlagCache(db, lambda: self.generation, lambda: self.now)


async def test_a_known_flag_is_not_asked_for_until_word_comes(admin: Any, db: Database, tenant: Tenant) -> None:
    """The second answer is from memory; after word of a change it is not."""
    cache = Clock().cache(db)
    assert await cache.is_on(tenant.id, Flag.VISITS)
    await admin.execute(SET, tenant.id, {})
    assert await cache.is_on(tenant.id, Flag.VISITS)
    cache.forget(str(tenant.id))
    assert not await cache.is_on(tenant.id, Flag.VISITS)


@pytest.mark.parametrize("lost", ["the word", "the connection", "the connection, which came back"])
async def test_a_lost_word_is_made_good_by_age(admin: Any, db: Database, tenant: Tenant, lost: str) -> None:
    """Within ten seconds where nobody noticed, within one where the connection broke."""
    clock = Clock()
    cache = clock.cache(db)
    assert await cache.is_on(tenant.id, Flag.VISITS)
    await admin.execute(SET, tenant.id, {})
    clock.generation = {"the word": 1, "the connection": None}.get(lost, 2)
    clock.now += MAX_AGE_NOTIFIED if lost == "the word" else MAX_AGE_UNNOTIFIED
    assert not await cache.is_on(tenant.id, Flag.VISITS)


async def test_a_reading_that_was_overtaken_is_not_answered(
    admin: Any, tenant: Tenant, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word comes while the table is read: what was read may be what no longer holds."""
    clock = Clock()
    cache = clock.cache(db)
    real, readings = flags.of_tenant, 0

    async def slow(conn: Any, tenant_id: Any) -> Any:
        nonlocal readings
        readings += 1
        found = await real(conn, tenant_id)
        if readings == 1:
            await admin.execute(SET, tenant.id, {})
            cache.forget(str(tenant.id))
        return found

    monkeypatch.setattr(flags, "of_tenant", slow)
    assert not await cache.is_on(tenant.id, Flag.VISITS)
    assert readings == 2


async def test_a_tenant_without_settings_has_nothing_on_and_is_not_remembered(admin: Any, db: Database) -> None:
    """Nothing tells of the first flags a tenant gets, so none are kept in mind."""
    clock = Clock()
    cache = clock.cache(db)
    tenant_id = uuid4()
    await admin.execute("INSERT INTO tenants (id, name) VALUES ($1, 'New')", tenant_id)
    assert not await cache.is_on(tenant_id, Flag.VISITS)
    await admin.execute("INSERT INTO tenant_settings (tenant_id, feature_flags) VALUES ($1, $2)", tenant_id, ALL_FLAGS)
    assert await cache.is_on(tenant_id, Flag.VISITS)
