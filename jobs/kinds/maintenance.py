"""Periodic tasks, in every worker and without Redis: a row in the database gives each tick to one of them."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from config.logging import get_logger
from config.settings import Settings
from store.accounts import idempotency, sessions
from store.events import changes, event_bus
from store.limits import shared_limits
from store.media import expired_forms
from store.objects.objects import ObjectStore
from store.ops import maintenance
from store.pool import AWAY, Connection, Database
from store.queue import outbox

log = get_logger(__name__)

# How often a worker looks whether a tick is due; a task is at most this late.
LOOK_SECONDS = 30.0
KEEP_FINISHED = timedelta(days=30)
# An alert that goes on is logged again after this; a pager that nobody answers must not be buried in lines.
REMIND = timedelta(hours=1)

ALERTS = {
    "processing_slo": "Alert: one job in twenty of the last hour took longer than a minute",
    "upload_retries": "Alert: uploads fail again and again",
    "analytics_outbox": "Alert: analytics events do not reach their receiver",
}


@dataclass(frozen=True)
class PeriodicTask:
    """A periodic task, safe to repeat: a tick with a failed transaction comes again."""

    name: str
    every: timedelta
    run: Callable[[Connection], Awaitable[None]]


async def prune(conn: Connection) -> None:
    """Forget old jobs, idempotency keys, sessions that are over, and limits' buckets that are full again."""
    await outbox.forget(conn, KEEP_FINISHED)
    await shared_limits.forget_full_buckets(conn)
    await idempotency.forget(conn)
    await changes.forget(conn)
    gone = await maintenance.prune(conn, KEEP_FINISHED)
    if gone:
        log.info("Forgot old jobs", rows=gone)
    await sessions.prune(conn)


async def check_alerts(conn: Connection) -> None:
    """Evaluate the runbook's alerts; error lines are reported to Sentry too, and `/metrics` tells the rest."""
    for alert in await maintenance.check_alerts(conn, REMIND):
        known = {"alert": alert["name"], "value": alert["value"]}
        if alert["notify"]:
            log.error(ALERTS.get(alert["name"], "Alert: a check of the database fires"), **known, since=alert["since"])
        elif alert["resolved"]:
            log.info("An alert is over", **known)


async def disable_bus(conn: Connection) -> None:
    """Let events no longer be noted for a bus that no gateway is on any more."""
    if await event_bus.retire(conn):
        log.info("Nobody leads the event bus: events go by NOTIFY alone")


async def sweep_forms(settings: Settings, conn: Connection) -> None:
    """Delete what presigned forms that are over may have left in the store; without one the store is not opened."""
    if not await expired_forms.any_expired(conn):
        return
    async with ObjectStore.open(settings) as objects:
        log.info("Expired forms are swept", forms=await expired_forms.sweep(conn, objects))


PERIODIC_TASKS = (
    PeriodicTask("event_bus", timedelta(minutes=1), disable_bus),
    PeriodicTask("prune", timedelta(minutes=5), prune),
    PeriodicTask("alerts", timedelta(minutes=5), check_alerts),
    PeriodicTask("sample", timedelta(seconds=30), maintenance.sample),
)


def periodic_tasks(settings: Settings) -> tuple[PeriodicTask, ...]:
    """Return what a worker with these settings does by the clock."""
    return (*PERIODIC_TASKS, PeriodicTask("expired_forms", timedelta(minutes=5), partial(sweep_forms, settings)))


class Maintenance:
    """Does the periodic tasks that are due, as one of any number of workers."""

    def __init__(self, db: Database, tasks: tuple[PeriodicTask, ...] = PERIODIC_TASKS) -> None:
        self._db = db
        self._tasks = tasks

    async def run_forever(self) -> None:
        """Look every half minute, give or take a tenth so that workers drift apart."""
        while True:
            await asyncio.sleep(LOOK_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311 - spreads load
            await self.run_due()

    async def run_due(self) -> None:
        """Do the tasks that are due and not done; a task that fails is left to the next look."""
        for task in self._tasks:
            try:
                async with self._db.as_system() as conn:
                    if await maintenance.claim_periodic_task(conn, task.name, task.every):
                        await task.run(conn)
            except AWAY as error:
                log.warning("A periodic task was put off", task=task.name, error=type(error).__name__)
