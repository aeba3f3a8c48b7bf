"""Chores: once per tick whichever worker comes first; the runbook's alerts; what is forgotten."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import structlog

from config.settings import Settings
from jobs.kinds.maintenance import (
    A_SUNDAY_AT_THREE,
    ALERTS,
    KEEP_STEPS,
    MAINTENANCE,
    MEDIA_CLEANUP,
    check_alerts,
    disable_bus,
)
from jobs.kinds.periodic import periodic
from jobs.queue.kind import Kind
from jobs.worker.ticker import Ticker
from store.events import event_bus, events
from store.ops import health, maintenance
from store.pool import Connection
from store.queue import kinds
from tests.jobs.conftest import DEADLINE_SECONDS, Bench, Working
from tests.stack import Services
from tests.support.carrying import begin_to_carry

DONE = "SELECT count(DISTINCT job_type) FROM jobs WHERE status = 'completed' AND tenant_id IS NULL"


@pytest.fixture(autouse=True)
async def no_ticks(bench: Bench) -> AsyncIterator[None]:
    """Start with no periodic task done."""
    await bench.admin.execute(
        "DELETE FROM periodic_tasks; DELETE FROM visit_sync_events; "
        "UPDATE alerts SET firing = false, since = NULL, notified_at = NULL, checked_at = NULL, value = 0"
    )
    yield
    await bench.admin.execute("DELETE FROM visit_sync_events")


def _weekly(name: str = "weekly") -> Kind:
    return replace(periodic(name, timedelta(weeks=1), _nothing), since=A_SUNDAY_AT_THREE)


async def _nothing(_settings: Settings, _conn: Connection) -> None:
    pass


async def _waiting(bench: Bench, name: str = "weekly") -> int:
    waiting: int = await bench.admin.fetchval(
        "SELECT count(*) FROM jobs WHERE job_type = $1 AND status = 'queued'", name
    )
    return waiting


@pytest.fixture
async def ticker(bench: Bench) -> AsyncIterator[Ticker]:
    """Tick for a weekly kind that the database knows."""
    async with bench.service.as_system() as conn:
        await kinds.register(conn, [_weekly().as_row()])
    yield Ticker(bench.service, [_weekly()])
    await bench.admin.execute("DELETE FROM job_kinds WHERE name = 'weekly'")


async def test_a_tick_is_queued_once_by_any_number_of_workers(bench: Bench, ticker: Ticker) -> None:
    """Four look at the same moment and again: one job, without Redis."""
    for _ in range(2):
        await asyncio.gather(*(Ticker(bench.service, [_weekly()]).tick() for _ in range(4)))
    assert await _waiting(bench) == 1
    await bench.admin.execute("DELETE FROM jobs")
    assert await ticker.tick() == 0


async def test_a_tick_that_was_missed_is_caught_up_once(bench: Bench, ticker: Ticker) -> None:
    """No worker was up for five Sundays: the first that comes queues one job, and no other until the next Sunday."""
    await bench.admin.execute("INSERT INTO periodic_tasks VALUES ('weekly', now() - interval '36 days')")
    assert [await ticker.tick() for _ in range(3)] == [1, 0, 0]
    assert await _waiting(bench) == 1


async def test_a_tick_comes_when_its_time_has_come(bench: Bench, ticker: Ticker) -> None:
    """Done a moment before this Sunday's three o'clock it is due; done at it, it is not."""
    await bench.admin.execute(
        "INSERT INTO periodic_tasks VALUES ('weekly', date_bin('7 days', now(), $1))", A_SUNDAY_AT_THREE
    )
    assert await ticker.tick() == 0
    await bench.admin.execute("UPDATE periodic_tasks SET done_at = done_at - interval '1 ms'")
    assert await ticker.tick() == 1


async def test_a_tick_whose_last_job_still_runs_queues_no_second(bench: Bench, ticker: Ticker) -> None:
    """One at a time: what takes longer than its interval does not pile up."""
    assert await ticker.tick() == 1
    await bench.admin.execute("UPDATE periodic_tasks SET done_at = now() - interval '36 days'")
    await ticker.tick()
    assert await _waiting(bench) == 1


async def test_every_periodic_kind_runs(bench: Bench, working: Working, settings: Settings) -> None:
    """A worker that starts queues all that are due, and does them."""
    async with AsyncExitStack() as opened:
        tasks = {
            kind.name: await opened.enter_async_context(kind.opens(settings, bench.service))
            for kind in MAINTENANCE
            if kind is not MEDIA_CLEANUP
        }
        async with working(tasks), asyncio.timeout(DEADLINE_SECONDS):
            while await bench.admin.fetchval(DONE) < len(tasks):  # noqa: ASYNC110 - these tell nobody
                await asyncio.sleep(0.05)
    assert await bench.admin.fetchval("SELECT count(*) FROM alerts WHERE checked_at IS NOT NULL") == len(ALERTS)


async def test_old_finished_jobs_are_forgotten_and_no_others(bench: Bench) -> None:
    """A month after its end a job goes; one that waits stays however old it is, and so do the events."""
    old, fresh, waiting = [await bench.enqueue() for _ in range(3)]
    await bench.cancel(old)
    await bench.cancel(fresh)
    await bench.admin.execute("UPDATE ai_jobs SET created_at = now() - interval '90 days'")
    await bench.admin.execute("UPDATE ai_jobs SET finished_at = now() - interval '40 days' WHERE id = $1", old)
    async with bench.service.as_system() as conn:
        assert await maintenance.prune(conn, timedelta(days=30)) == 1
    assert await bench.row(old) is None
    assert await bench.row(fresh) is not None
    assert await bench.row(waiting) is not None
    assert await bench.events(old) == ["job.queued", "job.cancelled"]


async def test_old_steps_go_and_the_stream_goes_on_where_it_stood(bench: Bench) -> None:
    """After a month only what jobs began and ended with is left, and each visit's last event, whatever it is."""
    old, fresh = await bench.visit(), await bench.visit()
    for visit in (old, fresh):
        for type_ in ("job.started", "step.started", "step.progress", "step.completed"):
            await bench.admin.execute(
                "INSERT INTO processing_events (visit_id, tenant_id, type) VALUES ($1, $2, $3)",
                *(visit, bench.tenant.id, type_),
            )
    await bench.admin.execute("UPDATE site_visits SET created_at = now() - interval '60 days'")
    await bench.admin.execute(
        "UPDATE processing_events SET created_at = now() - interval '31 days' WHERE visit_id = $1", old
    )
    last, removed = None, 0
    while True:
        async with bench.service.as_system() as conn:
            last, some = await events.prune(conn, KEEP_STEPS, last, visits=1)
        removed += some
        if last is None:
            break
    assert removed == 2
    async with bench.service.as_system() as conn:
        kept = [(row["seq"], json.loads(row["document"])["type"]) for row in await events.after(conn, old, 0)]
        assert kept == [(1, "job.started"), (4, "step.completed")]
        assert len(await events.after(conn, fresh, 0)) == 4
        assert (await events.heads(conn, [old]))[0]["last_seq"] == 4


async def test_events_are_noted_for_the_bus_as_long_as_somebody_carries_it(bench: Bench, services: Services) -> None:
    """A fleet that went back to NOTIFY leaves nothing that grows, and nobody who listens in vain."""
    carrier = await asyncpg.connect(services.admin_url)
    async with asyncio.timeout(DEADLINE_SECONDS):
        snapshot = await begin_to_carry(carrier)
    noted = "SELECT count(*) FROM scopekit.event_outbox"
    closed = "SELECT pg_sequence_last_value('scopekit.notify_transport') = 2"
    try:
        await event_bus.tend(carrier, snapshot)
        assert await bench.admin.fetchval(closed)
        await bench.enqueue()
        async with bench.service.as_system() as conn:
            assert not await event_bus.retire(conn)
        assert await bench.admin.fetchval(noted) > 0
    finally:
        await carrier.close()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await bench.admin.fetchval(closed):  # a session may end a moment after its connection
            async with bench.service.as_system() as conn:
                await disable_bus(None, conn)  # type: ignore[arg-type]
    await bench.enqueue()
    assert (await bench.admin.fetchval(noted), await bench.admin.fetchval(closed)) == (0, False)


async def _completed(bench: Bench, *seconds: float) -> None:
    for took in seconds:
        job_id = await bench.enqueue()
        await bench.admin.execute(
            "UPDATE ai_jobs SET status = 'completed', result = '{}', finished_at = now(), "
            "started_at = now() - make_interval(secs => $2) WHERE id = $1",
            job_id,
            took,
        )


@pytest.mark.parametrize(
    ("seconds", "slow"), [((), False), ((59.0,), False), ((61.0,), True), ((1.0,) * 30 + (90.0,), False)], ids=str
)
async def test_the_processing_slo_is_the_95th_percentile(bench: Bench, seconds: tuple[float, ...], slow: bool) -> None:
    """Over a minute is slow; one of thirty is not, and no job at all is not."""
    await _completed(bench, *seconds)
    assert await bench.admin.fetchval("SELECT check_processing_slo()") is slow


@pytest.mark.parametrize(
    ("attempts", "counted"),
    [(5, 1), ("7", 1), (4, 0), ("many", 0), (None, 0), ([9], 0), ("1e9", 0), ("", 0), ("5 or so", 0)],
    ids=str,
)
async def test_upload_retries_count_numbers_and_stumble_over_nothing(bench: Bench, attempts: Any, counted: int) -> None:
    """Five or more, as a number or as text; whatever else an app may have sent is no reason to fail."""
    visit = await bench.visit()
    await bench.admin.execute(
        "INSERT INTO visit_sync_events (tenant_id, visit_id, event, payload) VALUES ($1, $2, 'upload_failed', $3)",
        bench.tenant.id,
        visit,
        {"attempts": attempts},
    )
    assert await bench.admin.fetchval("SELECT check_upload_retries()") == counted


async def _failing_upload(bench: Bench) -> None:
    await bench.admin.execute(
        "INSERT INTO visit_sync_events (tenant_id, visit_id, event, payload) VALUES ($1, $2, 'upload_failed', $3)",
        bench.tenant.id,
        await bench.visit(),
        {"attempts": 5},
    )


async def _checked(bench: Bench) -> list[tuple[str, str]]:
    """Let a worker ask the alerts; return what it logged about them, as (level, alert)."""
    with structlog.testing.capture_logs() as logged:
        async with bench.service.as_system() as conn:
            await check_alerts(None, conn)  # type: ignore[arg-type]
    return [(line["log_level"], line["alert"]) for line in logged]


async def test_an_alert_is_told_once_reminded_of_and_called_off(bench: Bench) -> None:
    """An error, which Sentry gets, when it begins; again after an hour of it; one line when it is over."""
    assert await _checked(bench) == []
    await _failing_upload(bench)
    assert await _checked(bench) == [("error", "upload_retries")]
    assert await _checked(bench) == []
    await bench.admin.execute("UPDATE alerts SET notified_at = notified_at - interval '61 minutes'")
    assert await _checked(bench) == [("error", "upload_retries")]
    await bench.admin.execute("DELETE FROM visit_sync_events")
    assert await _checked(bench) == [("info", "upload_retries")]
    assert await _checked(bench) == []


async def test_the_gateway_reads_what_the_alerts_said(bench: Bench) -> None:
    """State, measure and age of each; one that was never asked has no age."""
    async with bench.db.as_system() as conn:
        before = {row["alert"]: dict(row) for row in await health.alert_states(conn)}
    await _failing_upload(bench)
    await _completed(bench, 90.0)
    await _checked(bench)
    async with bench.db.as_system() as conn:
        after = {row["alert"]: dict(row) for row in await health.alert_states(conn)}
    assert {row["age_seconds"] for row in before.values()} == {None}
    assert set(after) == set(ALERTS)
    assert (after["upload_retries"]["firing"], after["upload_retries"]["value"]) == (True, 1)
    assert (after["processing_slo"]["firing"], after["processing_slo"]["value"]) == (True, pytest.approx(90, abs=5))
    assert after["analytics_outbox"]["firing"] is False
    assert after["upload_retries"]["age_seconds"] >= 0


async def test_operators_read_how_dead_letters_grow(bench: Bench) -> None:
    """Seven days, by day and kind: how many, and after how many attempts on average."""
    for attempts in (1, 4):
        await bench.admin.execute(
            "INSERT INTO ai_jobs_dlq (original_job_id, tenant_id, visit_id, job_type, attempts) "
            "VALUES (gen_random_uuid(), $1, $2, 'growing', $3)",
            bench.tenant.id,
            await bench.visit(),
            attempts,
        )
    await bench.admin.execute(
        "INSERT INTO ai_jobs_dlq (original_job_id, tenant_id, visit_id, job_type, attempts, moved_at) "
        "VALUES (gen_random_uuid(), $1, $2, 'growing', 9, now() - interval '8 days')",
        bench.tenant.id,
        await bench.visit(),
    )
    async with bench.db.as_system() as conn:
        rows = [row for row in await health.dead_letter_growth(conn) if row["job_type"] == "growing"]
    assert [(row["failed_count"], float(row["avg_attempts"])) for row in rows] == [(2, 2.5)]
    await bench.admin.execute("DELETE FROM ai_jobs_dlq WHERE job_type = 'growing'")


async def test_operators_read_depth_minutes_and_usage(bench: Bench) -> None:
    """Average ages by state, the last hour's minutes, and each tenant's numbers by itself."""
    await bench.enqueue()
    await _completed(bench, 10.0, 20.0)
    async with bench.db.as_system() as conn:
        depths = {row["status"]: row for row in await health.queue_depths(conn)}
        minutes = await health.queue_minutes(conn)
        (usage,) = [row for row in await health.tenant_usage(conn) if row["tenant_id"] == bench.tenant.id]
    assert depths["queued"]["depth"] == 1
    assert depths["queued"]["average_seconds"] >= 0
    assert sum(row["completed"] for row in minutes) == 2
    assert usage["visits_today"] == 3
    assert usage["estimates_today"] == 0


async def test_operators_read_the_queue_by_kind(bench: Bench) -> None:
    """Each kind by itself: what is due, for later, running and dead; a kind without jobs too."""
    await bench.running()
    for seconds in (-90, 90):
        await bench.admin.execute(
            "INSERT INTO jobs (job_type, run_at) VALUES ('mail', now() + make_interval(secs => $1))", seconds
        )
    await bench.admin.execute("SELECT scopekit.pause_queue('mail')")
    async with bench.db.as_system() as conn:
        found = {row["job_type"]: row for row in await health.queue_kinds(conn)}
    counts = ("waiting", "later", "running", "paused")
    assert [found["estimate"][name] for name in counts] == [0, 0, 1, False]
    assert [found["mail"][name] for name in counts] == [1, 1, 0, True]
    assert 90 <= found["mail"]["oldest_seconds"] < 3600
    assert found.keys() >= {"analytics_delivery", "photo_jpegs"}


async def test_finished_jobs_are_kept_as_long_as_their_kind_says(bench: Bench) -> None:
    """A delivery goes an hour after its end, a mail after a day; those that wait or have just ended stay."""
    ages = {"analytics_delivery": 2, "mail": 25}
    for name, hours in ages.items():
        await bench.admin.execute(
            "INSERT INTO jobs (job_type, status, result, finished_at) SELECT $1, 'completed', '{}'::jsonb, "
            "now() - make_interval(hours => $2) + make_interval(hours => n) FROM generate_series(0, 23, 23) AS n "
            "UNION ALL SELECT $1, 'queued', NULL, NULL",
            *(name, hours),
        )
    async with bench.service.as_system() as conn:
        assert await maintenance.prune(conn, timedelta(days=30)) == 2
        assert await maintenance.prune(conn, timedelta(days=30)) == 0
    left = await bench.admin.fetch("SELECT job_type, count(*) AS jobs FROM jobs GROUP BY 1 ORDER BY 1")
    assert [(row["job_type"], row["jobs"]) for row in left] == [("analytics_delivery", 2), ("mail", 2)]


async def test_a_job_whose_time_is_to_come_is_not_overdue(bench: Bench) -> None:
    """It waits on purpose, however long ago it was made; one that may start is overdue since it may."""
    await bench.enqueue()
    await bench.admin.execute(
        "UPDATE ai_jobs SET created_at = now() - interval '1 day', run_at = now() + interval '1 h'"
    )
    async with bench.db.as_system() as conn:
        later = await health.queue_overdue(conn)
    await bench.admin.execute("UPDATE ai_jobs SET run_at = now() - interval '1 min'")
    async with bench.db.as_system() as conn:
        due = await health.queue_overdue(conn)
    assert later == 0
    assert 60 <= due < 3600


async def test_the_alerts_are_not_the_gateways_to_ask(bench: Bench) -> None:
    """They read every tenant's rows."""
    async with bench.db.as_system() as conn:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.fetchval("SELECT check_processing_slo()")
