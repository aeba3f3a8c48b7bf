"""Jobs by the clock: old rows go, alerts are asked, the store is cleaned up. Kinds like any other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from config.logging import get_logger
from config.settings import Settings
from jobs.kinds.periodic import periodic
from jobs.queue.context import JobContext
from jobs.queue.kind import Kind, Subject, Task, UniqueBy
from store.accounts import idempotency, sessions
from store.events import changes, event_bus, events
from store.limits import shared_limits
from store.mail import mails
from store.media import expired_forms
from store.media.cleanup import Cleanup
from store.objects.objects import ObjectStore
from store.ops import maintenance
from store.pool import Connection, Database
from store.visits import deleted
from store.webhooks import deliveries as webhook_deliveries

log = get_logger(__name__)

KEEP_FINISHED = timedelta(days=30)
# Steps are nine events in ten. Who comes back to a visit after a month wants to know how its jobs ended.
KEEP_STEPS = timedelta(days=30)
VISITS_A_PRUNING = 500
# An alert that goes on is logged again after this; a pager that nobody answers must not be buried in lines.
REMIND = timedelta(hours=1)

ALERTS = {
    "processing_slo": "Alert: one job in twenty of the last hour took longer than a minute",
    "upload_retries": "Alert: uploads fail again and again",
    "analytics_outbox": "Alert: analytics events do not reach their receiver",
}


async def prune(_settings: Settings, conn: Connection) -> None:
    """Forget old jobs, idempotency keys, sessions that are over, and limits' buckets that are full again."""
    await shared_limits.forget_full_buckets(conn)
    await idempotency.forget(conn)
    await changes.forget(conn)
    await webhook_deliveries.forget(conn)
    gone = await maintenance.prune(conn, KEEP_FINISHED)
    if gone:
        log.info("Forgot old jobs", rows=gone)
    await sessions.prune(conn)
    await mails.prune(conn)


async def check_alerts(_settings: Settings, conn: Connection) -> None:
    """Evaluate the runbook's alerts; error lines are reported to Sentry too, and operators get a mail.

    `/metrics` tells the rest.
    """
    for alert in await maintenance.check_alerts(conn, REMIND):
        known = {"alert": alert["name"], "value": alert["value"]}
        if alert["notify"]:
            log.error(ALERTS.get(alert["name"], "Alert: a check of the database fires"), **known, since=alert["since"])
        elif alert["resolved"]:
            log.info("An alert is over", **known)
        if alert["began"] or alert["resolved"]:
            await mails.queue_alert_mails(conn, alert["name"], firing=alert["firing"], value=alert["value"])


async def remind(_settings: Settings, conn: Connection) -> None:
    """Queue the reminders to customers that are due."""
    if count := await mails.queue_reminders(conn):
        log.info("Reminders are queued", count=count)


async def disable_bus(_settings: Settings, conn: Connection) -> None:
    """Let events no longer be noted for a bus that no gateway is on any more."""
    if await event_bus.retire(conn):
        log.info("Nobody leads the event bus: events go by NOTIFY alone")


async def sweep_forms(settings: Settings, conn: Connection) -> None:
    """Delete what presigned forms that are over may have left in the store; without one the store is not opened."""
    if not await expired_forms.any_expired(conn):
        return
    async with ObjectStore.open(settings) as objects:
        log.info("Expired forms are swept", forms=await expired_forms.sweep(conn, objects))


async def sample(_settings: Settings, conn: Connection) -> None:
    """Note the queue's depth, for the curve over time."""
    await maintenance.sample(conn)


@asynccontextmanager
async def open_cleanup(settings: Settings, db: Database) -> AsyncIterator[Task]:
    """Lend the weekly cleanup of the store; it opens the store for itself."""

    async def clean(ctx: JobContext) -> None:
        async with ObjectStore.open(settings) as objects:
            report = await Cleanup(db, objects).run()
        await ctx.complete({"orphans": len(report.orphans), "lost": len(report.lost)})

    yield clean


@asynccontextmanager
async def open_event_pruning(_settings: Settings, db: Database) -> AsyncIterator[Task]:
    """Lend the weekly pruning of events: some visits in each transaction, so that it holds up no writer for long."""

    async def prune_events(ctx: JobContext) -> None:
        last_visit, removed = None, 0
        while True:
            async with db.as_system() as conn:
                last_visit, some = await events.prune(conn, KEEP_STEPS, last_visit, VISITS_A_PRUNING)
            removed += some
            if last_visit is None:
                break
        await ctx.complete({"removed": removed})

    yield prune_events


@asynccontextmanager
async def open_bin(settings: Settings, db: Database) -> AsyncIterator[Task]:
    """Lend the emptying of the bin, which opens the store for itself."""

    async def empty_bin(ctx: JobContext) -> None:
        async with ObjectStore.open(settings) as objects:
            await ctx.complete({"visits": await deleted.purge(db, objects)})

    yield empty_bin


# A whole number of weeks from here it is Sunday, 03:00 UTC, as the runbook has it.
A_SUNDAY_AT_THREE = datetime(2026, 1, 4, 3, tzinfo=UTC)

MEDIA_CLEANUP = Kind(
    "media_cleanup",
    open_cleanup,
    subject=Subject.NONE,
    unique_by=UniqueBy.KIND,
    share=0.0,
    timeout=timedelta(hours=1),
    every=timedelta(weeks=1),
    since=A_SUNDAY_AT_THREE,
)
EVENT_PRUNING = Kind(
    "event_pruning",
    open_event_pruning,
    subject=Subject.NONE,
    unique_by=UniqueBy.KIND,
    share=0.0,
    timeout=timedelta(hours=1),
    every=timedelta(weeks=1),
    since=A_SUNDAY_AT_THREE,
)
BIN = Kind(
    "bin",
    open_bin,
    subject=Subject.NONE,
    unique_by=UniqueBy.KIND,
    share=0.0,
    timeout=timedelta(minutes=50),
    every=timedelta(hours=1),
    retention=timedelta(days=1),
)
MAINTENANCE = (
    periodic("event_bus", timedelta(minutes=1), disable_bus),
    periodic("prune", timedelta(minutes=5), prune),
    periodic("alerts", timedelta(minutes=5), check_alerts),
    periodic("reminders", timedelta(minutes=15), remind),
    periodic("queue_sample", timedelta(seconds=30), sample),
    periodic("expired_forms", timedelta(minutes=5), sweep_forms),
    BIN,
    MEDIA_CLEANUP,
    EVENT_PRUNING,
)
