"""No role reads, writes, updates or deletes another tenant's rows, in any table there is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from store.pool import Connection, Database
from tests.store.schema.rows import Admin, fill_every_table
from tests.tenants import Tenant, make_member

# Tables that are no tenant's; nobody but service_role may touch them at all.
_OPERATORS = {
    *(
        "alerts",
        "analytics_outbox",
        "job_kinds",
        "job_stalls",
        "worker_sessions",
        "periodic_tasks",
        "queue_control",
        "queue_samples",
        "service_keys",
    ),
    *(
        "schema_migrations",
        "flag_kills",
        "killed_flag_tenants",
        "ops_audit",
        "operators",
        "processes",
        "secret_rotations",
    ),
    *("users", "identities", "sign_in_codes", "sign_in_attempts", "setup_code", "passkeys", "sessions"),
}
ROLES = ("authenticated", "anon", "gateway login")
Denied = asyncpg.InsufficientPrivilegeError


@pytest.fixture
async def victim(admin: Admin, tenant: Tenant) -> UUID:
    """A tenant with a row in every table; the value is its visit."""
    return await fill_every_table(admin, tenant)


async def _tables(admin: Admin) -> list[str]:
    rows = await admin.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    return [row["tablename"] for row in rows]


def _owner_column(table: str) -> str:
    return "id" if table == "tenants" else "tenant_id"


@asynccontextmanager
async def _acting(db: Database, role: str, attacker: Tenant) -> AsyncIterator[Connection]:
    if role == "authenticated":
        async with db.as_user(attacker.claims) as conn:
            yield conn
        return
    async with db.as_system() as conn:
        if role == "anon":
            await conn.execute("SET LOCAL ROLE anon")
        yield conn


async def _attempt(conn: Connection, sql: str, *arguments: Any) -> int:
    """Return how many rows a statement touched; 0 also where it is denied."""
    try:
        async with conn.transaction():
            return len(await conn.fetch(sql, *arguments))
    except Denied:
        return 0


async def _columns(admin: Admin, table: str, right: str) -> list[str]:
    rows = await admin.fetch(
        "SELECT a.attname, has_column_privilege('authenticated', a.attrelid, a.attnum, $2) AS granted "
        "FROM pg_attribute a WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped "
        "AND a.attgenerated = '' ORDER BY a.attnum",
        f"public.{table}",
        right,
    )
    return [row["attname"] for row in rows if row["granted"]] or [row["attname"] for row in rows]


async def test_the_walk_covers_every_table(admin: Admin, tenant: Tenant, victim: UUID) -> None:
    """A new table without a row in `rows.py` fails here, so that it cannot escape the walk."""
    for table in await _tables(admin):
        if table in _OPERATORS:
            continue
        count = await admin.fetchval(f"SELECT count(*) FROM {table} WHERE {_owner_column(table)} = $1", tenant.id)
        assert count > 0, table


async def test_every_table_has_row_level_security(admin: Admin) -> None:
    """RLS is on everywhere, even where no client has a right."""
    without = await admin.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' "
        "AND NOT relrowsecurity"
    )
    assert [row["relname"] for row in without] == []


@pytest.mark.parametrize("role", ROLES)
async def test_no_role_reads_or_changes_a_foreign_row(
    role: str, admin: Admin, db: Database, tenant: Tenant, other_tenant: Tenant, victim: UUID
) -> None:
    """Select, update and delete across tenants touch nothing, whatever the statement."""
    async with _acting(db, role, other_tenant) as conn:
        for table in await _tables(admin):
            where = "" if table in _OPERATORS else f"WHERE {_owner_column(table)} = '{tenant.id}'"
            column = (await _columns(admin, table, "UPDATE"))[0]
            assert await _attempt(conn, f"SELECT 1 FROM {table} {where}") == 0, table
            assert await _attempt(conn, f"UPDATE {table} SET {column} = {column} {where} RETURNING 1") == 0, table
            assert await _attempt(conn, f"DELETE FROM {table} {where} RETURNING 1") == 0, table


@pytest.mark.parametrize("role", ROLES)
async def test_no_role_inserts_into_a_foreign_tenant(
    role: str, admin: Admin, db: Database, tenant: Tenant, other_tenant: Tenant, victim: UUID
) -> None:
    """A perfect copy of the victim's own row, sent by somebody else, is denied by right or by policy."""
    for table in await _tables(admin):
        if table in _OPERATORS:
            continue
        columns = ", ".join(await _columns(admin, table, "INSERT"))
        row = await admin.fetchval(
            f"SELECT to_jsonb(t) FROM {table} t WHERE {_owner_column(table)} = $1 LIMIT 1", tenant.id
        )
        async with _acting(db, role, other_tenant) as conn:
            with pytest.raises(Denied):
                await conn.execute(
                    f"INSERT INTO {table} ({columns}) SELECT {columns} "
                    f"FROM jsonb_populate_record(NULL::public.{table}, $1)",
                    row,
                )


async def test_a_row_cannot_hang_in_a_foreign_visit(
    admin: Admin, db: Database, tenant: Tenant, other_tenant: Tenant, victim: UUID
) -> None:
    """One's own tenant_id with another's visit_id breaks the composite foreign key."""
    async with db.as_user(other_tenant.claims) as conn:
        with pytest.raises((asyncpg.ForeignKeyViolationError, Denied)):
            await conn.execute(
                "INSERT INTO visit_sync_events (tenant_id, visit_id, event) VALUES ($1, $2, 'upload_failed')",
                other_tenant.id,
                victim,
            )


async def test_the_owner_sees_its_own_rows(admin: Admin, db: Database, tenant: Tenant, victim: UUID) -> None:
    """The control: the same statements as the tenant's own user do find rows, so the walk above can fail."""
    tables = await _tables(admin)
    async with db.as_user(tenant.claims) as conn:
        seen = {table for table in tables if await _attempt(conn, f"SELECT 1 FROM {table}") > 0}
    assert {"site_visits", "site_visit_media", "jobs", "processing_events", "estimates", "shares"} <= seen
    assert not {"job_steps", "analytics_events", "progress_tickets", "service_keys"} & seen


async def test_the_gateway_cannot_take_a_role_that_bypasses(db: Database) -> None:
    """The login may become anon or authenticated, and nothing above."""
    async with db.as_system() as conn:
        flags = await conn.fetchrow("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        assert flags is not None
        assert tuple(flags) == (False, False)
        with pytest.raises(Denied):
            await conn.execute("SET ROLE service_role")


async def test_no_client_jumps_the_queue(db: Database, tenant: Tenant, victim: UUID) -> None:
    """A client may step back and wait, never push ahead or seem to have waited, not even with its own job."""
    for column, value in (
        *(("priority", "1"), ("priority", "-11"), ("attempts", "0"), ("status", "'queued'"), ("turn", "1")),
        *(("run_at", "now() - interval '1 day'"), ("run_at", "now() + interval '1 year'")),
    ):
        async with db.as_user(tenant.claims) as conn:
            with pytest.raises(Denied):
                await conn.execute(
                    f"INSERT INTO ai_jobs (tenant_id, visit_id, job_type, {column}) VALUES ($1, $2, 'other', {value})",
                    tenant.id,
                    victim,
                )


async def test_rights_end_with_the_transaction(db: Database, tenant: Tenant) -> None:
    """A pooled connection keeps neither role nor claims of the request before."""
    async with db.as_user(tenant.claims) as conn:
        assert await conn.fetchval("SELECT current_user::text") == "authenticated"
    async with db.as_system() as conn:
        assert await conn.fetchval("SELECT current_user::text") == "scopekit_gateway"
        assert await conn.fetchval("SELECT current_setting('request.jwt.claims', true)") in (None, "")


async def test_clients_may_call_only_what_is_meant_for_them(admin: Admin) -> None:
    """No function of ours is open to anon or authenticated but these."""
    rows = await admin.fetch(
        "SELECT p.proname FROM pg_proc p WHERE p.pronamespace IN ('public'::regnamespace, 'scopekit'::regnamespace) "
        "AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') "
        "AND p.prorettype <> 'trigger'::regtype "
        "AND (has_function_privilege('anon', p.oid, 'EXECUTE') OR (has_function_privilege('authenticated', p.oid, "
        "'EXECUTE') AND has_schema_privilege('authenticated', p.pronamespace, 'USAGE')))"
    )
    pure = {"current_tenant_id", "search_text", "uuidv7", "share_state", "share_status", "visit_state"}
    as_the_caller = {"set_visits_status", "job_correlation"}  # run with the caller's own rights, under RLS
    of_the_callers_row = {"stall_reason"}  # of a row that the caller has, and the whole queue's state
    checking_the_tenant = {
        "cancel_job",
        "queue_position",
        "rotate_share",
        "answer_question",
        "send_version",
        "record_decision",
        "mail_share",
        "find_price_items",
        "resembling_price_items",
    }
    checking_the_tenant |= {
        "change_own_person",
        "choose_notifications",
        "own_notifications",
        "preview_document",
        "invite_person",
        "own_audit",
        "own_invitations",
        "own_people",
    }
    checking_the_tenant |= {
        "change_company",
        "create_api_key",
        "list_api_keys",
        "revoke_api_key",
        "withdraw_invitation",
        "delete_visit",
        "deleted_visits",
        "purge_visit",
        "restore_visit",
        "stored_bytes",
    }
    checking_the_tenant |= {
        "create_webhook_endpoint",
        "own_redelivery",
        "own_webhook_test",
        "rotate_webhook_secret",
    }
    assert {row["proname"] for row in rows} <= pure | as_the_caller | of_the_callers_row | checking_the_tenant


async def test_without_a_membership_row_a_token_sees_and_writes_nothing(
    admin: Admin, db: Database, tenant: Tenant, victim: UUID
) -> None:
    """A signed token that names the tenant is not enough, in any table: the policies read the row."""
    member = await make_member(admin, tenant)
    async with db.as_user(member.claims) as conn:
        assert await _attempt(conn, "SELECT 1 FROM site_visits") > 0
    await admin.execute("DELETE FROM memberships WHERE user_id = $1", member.user_id)
    async with db.as_user(member.claims) as conn:
        for table in await _tables(admin):
            column = (await _columns(admin, table, "UPDATE"))[0]
            for statement in _each_verb(table, column):
                assert await _attempt(conn, statement) == 0, statement
        with pytest.raises(Denied):
            await conn.execute("INSERT INTO site_visits (tenant_id) VALUES ($1)", tenant.id)


async def test_a_viewer_reads_and_writes_nothing(admin: Admin, db: Database, tenant: Tenant, victim: UUID) -> None:
    """Held by policy in every table, but for tickets, by which a viewer watches."""
    viewer = await make_member(admin, tenant, "viewer")
    for table in await _tables(admin):
        async with db.as_user(viewer.claims) as conn:
            column = (await _columns(admin, table, "UPDATE"))[0]
            select, *changes = _each_verb(table, column)
            if table in ("site_visits", "estimates", "shares", "price_items"):
                assert await _attempt(conn, select) > 0, table
            for statement in changes:
                assert await _attempt(conn, statement) == 0, statement
        if table in _OPERATORS | {"progress_tickets"}:
            continue
        columns = ", ".join(await _columns(admin, table, "INSERT"))
        row = await admin.fetchval(
            f"SELECT to_jsonb(t) FROM {table} t WHERE {_owner_column(table)} = $1 LIMIT 1", tenant.id
        )
        async with db.as_user(viewer.claims) as conn:
            with pytest.raises(Denied):
                await conn.execute(
                    f"INSERT INTO {table} ({columns}) SELECT {columns} "
                    f"FROM jsonb_populate_record(NULL::public.{table}, $1)",
                    row,
                )


async def test_functions_for_tenants_ask_for_the_role(admin: Admin, db: Database, tenant: Tenant, victim: UUID) -> None:
    """Those with their owner's rights pass row level security, and so ask for themselves."""
    job = await admin.fetchval("SELECT id FROM ai_jobs WHERE tenant_id = $1", tenant.id)
    share = await admin.fetchval("SELECT id FROM shares WHERE tenant_id = $1", tenant.id)
    viewer = await make_member(admin, tenant, "viewer")
    async with db.as_user(viewer.claims) as conn:
        assert await conn.fetchval("SELECT scopekit.cancel_job($1)", job) is None
        assert await conn.fetchval("SELECT rotate_share($1, $2, NULL)", share, b"0" * 32) == "unknown"
        assert await conn.fetchval("SELECT scopekit.queue_position($1)", job) > 0
    async with db.as_user(tenant.claims) as conn:
        assert await conn.fetchval("SELECT scopekit.cancel_job($1)", job) == "cancelled"


def _each_verb(table: str, column: str) -> tuple[str, str, str]:
    return (
        f"SELECT 1 FROM {table}",
        f"UPDATE {table} SET {column} = {column} RETURNING 1",
        f"DELETE FROM {table} RETURNING 1",
    )
