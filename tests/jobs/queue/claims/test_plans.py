"""How claims, renewals and completions find their jobs: by keys, whatever the table was like when they were planned."""

from tests.jobs.conftest import Bench

FORGET = """
TRUNCATE jobs, jobs_dlq, job_steps, processing_events, visit_streams, analytics_events;
"""
ENQUEUE = """
WITH visits AS (INSERT INTO site_visits (tenant_id) SELECT $1 FROM generate_series(1, $2) RETURNING id)
INSERT INTO ai_jobs (tenant_id, visit_id, job_type) SELECT $1, id, 'echo' FROM visits
"""
READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'jobs'::regclass"
JOBS = 3000
SOME = 20
# Claimed, told, handed over, renewed, completed: a row is looked at some ten times.
LOOKS = 15


async def test_no_plan_made_before_the_first_job_reads_the_whole_table(bench: Bench) -> None:
    """A worker's session plans while the queue is empty, and keeps these plans when it is full."""
    await bench.admin.execute(FORGET)
    await bench.admin.execute("VACUUM ANALYZE jobs")
    assert await _work_off(bench) == 0
    await bench.admin.execute(ENQUEUE, bench.tenant.id, JOBS)
    async with bench.admin.transaction():
        before = await bench.admin.fetchval(READ)
        assert await _work_off(bench) == SOME
        assert await bench.admin.fetchval(READ) - before <= SOME * LOOKS


async def _work_off(bench: Bench) -> int:
    """Claim, renew and complete some jobs, in the one session in which all of this happens; tells how many."""
    rows = await bench.admin.fetch("SELECT id, lease_token AS token FROM claim_ai_jobs($1)", SOME)
    ids, tokens = [row["id"] for row in rows], [row["token"] for row in rows]
    await bench.admin.execute("SELECT scopekit.renew_leases($1, $2, interval '1 min')", ids, tokens)
    done = [{**row, "result": {}} for row in rows]
    answers = await bench.admin.fetch("SELECT answer FROM scopekit.complete_jobs($1)", done)
    return [row["answer"] for row in answers].count("completed")
