"""A dashboard's login: the runbook's queries run as they are written, and nothing else can be read or written."""

import asyncpg
import pytest

from tests.store.schema.rows import Admin, fill_every_table
from tests.tenants import Tenant

DEPTH = "SELECT status, COUNT(*) as count, AVG(EXTRACT(EPOCH FROM (NOW() - created_at))) FROM ai_jobs GROUP BY status"
PERFORMANCE = """
SELECT DATE_TRUNC('minute', finished_at) as minute, COUNT(*) as completed,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY EXTRACT(EPOCH FROM (finished_at - started_at))) as p50_seconds,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY EXTRACT(EPOCH FROM (finished_at - started_at))) as p95_seconds
FROM ai_jobs WHERE finished_at > NOW() - INTERVAL '1 hour' AND status = 'completed' GROUP BY minute ORDER BY minute DESC
"""
USAGE = """
SELECT t.name as tenant, COUNT(DISTINCT v.id) as visits_today, COUNT(DISTINCT e.id) as estimates_today,
  SUM(m.file_size) / 1048576 as total_mb
FROM site_visits v JOIN tenants t ON t.id = v.tenant_id LEFT JOIN estimates e ON e.visit_id = v.id
LEFT JOIN site_visit_media m ON m.visit_id = v.id
WHERE v.created_at > CURRENT_DATE GROUP BY t.name ORDER BY visits_today DESC
"""
GROWTH = """
SELECT DATE(moved_at) as date, job_type, COUNT(*) as failed_count, AVG(attempts) as avg_attempts FROM ai_jobs_dlq
WHERE moved_at > NOW() - INTERVAL '7 days' GROUP BY DATE(moved_at), job_type ORDER BY date DESC
"""
FLAGS = "SELECT tenant_id, feature_flags FROM tenant_settings WHERE feature_flags->>'visits.enabled' = 'true'"
ALERTS = "SELECT check_processing_slo(), check_upload_retries()"


@pytest.fixture
async def observed(admin: Admin, tenant: Tenant) -> Admin:
    """The connection of an observer, with a row of everything to see."""
    await fill_every_table(admin, tenant)
    await admin.execute("SET search_path = monitoring, public; SET default_transaction_read_only = on")
    await admin.execute("SET ROLE scopekit_observer")
    return admin


async def test_the_runbooks_queries_run_as_written(observed: Admin, tenant: Tenant) -> None:
    """And each has something to show, the flags too."""
    for query in (DEPTH, USAGE, GROWTH, ALERTS, "SELECT * FROM tenant_usage"):
        assert await observed.fetch(query), query
    await observed.fetch(PERFORMANCE)
    assert tenant.id in {row["tenant_id"] for row in await observed.fetch(FLAGS)}


async def test_an_observer_reads_no_table_and_writes_nothing(observed: Admin) -> None:
    """Not one of ours: no token, no word of a customer."""
    await observed.execute("SET default_transaction_read_only = off")
    tables = await observed.fetch(
        "SELECT relnamespace::regnamespace::text AS schema, relname FROM pg_class "
        "WHERE relkind IN ('r', 'v') AND relnamespace::regnamespace::text IN ('public', 'scopekit')"
    )
    assert len(tables) > 40
    for table in tables:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await observed.fetch(f"SELECT * FROM {table['schema']}.{table['relname']} LIMIT 1")
    for view in ("tenants", "tenant_settings", "site_visits", "jobs"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await observed.execute(f"DELETE FROM monitoring.{view}")


async def test_views_show_no_words_and_no_secrets(admin: Admin) -> None:
    """By their columns: a new one of these names would have to be argued for."""
    columns = await admin.fetch(
        "SELECT attrelid::regclass::text || '.' || attname AS name "
        "FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE c.relnamespace = 'monitoring'::regnamespace "
        "AND attname ~ "
        "'title|customer|address|notes|label|original_name|path|hash|token|secret|last_error|^result$|summary|profile'"
    )
    assert [row["name"] for row in columns] == []
