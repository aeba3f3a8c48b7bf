"""The database's figures on queue, outbox and alerts: the same from any gateway."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from config.logging import get_logger
from gateway.http.limits.deadline import within
from store.ops import health
from store.pool import AWAY
from store.queue import outbox, queue_control

if TYPE_CHECKING:
    from store.pool import Database, Record

_log = get_logger(__name__)

# Several scrapers cost the database no more than one.
KEPT_SECONDS = 1.0
# A scrape has 10 s, a second of them for siblings that hang, and what the process counts must arrive all the same.
LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class Known:
    """The database's answer to one scrape."""

    usage: float
    health: "Record"
    depths: "list[Record]"
    overdue: float
    switches: list[dict[str, Any]]
    alerts: "list[Record]"
    outbox: "Record"


class QueueMetrics(Collector):
    """The database's numbers as they were when it was last asked."""

    def __init__(self) -> None:
        self._known: Known | None = None
        self._looked_at = float("-inf")

    async def refresh(self, db: "Database") -> None:
        """Ask, at most once a second; while the database is away, its numbers are missing and the rest is exported."""
        now = time.monotonic()
        if now - self._looked_at < KEPT_SECONDS:
            return
        self._looked_at = now
        try:
            self._known = await within(LOOK_SECONDS, _ask(db))
        except AWAY as error:
            self._known = None
            _log.warning("The database's metrics are missing", error=type(error).__name__)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Give every family; of the database's only if it answered."""
        return families(self._known)


def families(known: Known | None) -> Iterable[GaugeMetricFamily]:
    """Give the families of an answer, or of a database that gave none."""
    yield _gauge("database_up", "1 when the database gave its numbers.", known is not None)
    if known is not None:
        yield from _of_queue(known)
        yield from _of_outbox(known.outbox)
        yield from _of_alerts(known.alerts)


async def _ask(db: "Database") -> Known:
    async with db.connection() as conn:
        return Known(
            usage=await health.notify_queue_usage(conn),
            health=await health.queue_health(conn),
            depths=await health.queue_depths(conn),
            overdue=await health.queue_overdue(conn),
            switches=await queue_control.switches(conn),
            alerts=await health.alert_states(conn),
            outbox=await outbox.state(conn),
        )


def _of_queue(known: Known) -> Iterable[GaugeMetricFamily]:
    yield _gauge("notify_queue_usage_ratio", "How full the server's notification queue is.", known.usage)
    last = known.health["last_job_success"]
    if last is not None:
        yield _gauge("last_job_success_timestamp_seconds", "When a job last completed.", last.timestamp())
    yield _by("status", "jobs", "Jobs by state.", known.depths, "depth")
    yield _by("status", "jobs_oldest_seconds", "Age of the oldest job by state.", known.depths, "oldest_seconds")
    yield _by("status", "jobs_average_seconds", "Average age of jobs by state.", known.depths, "average_seconds")
    yield _gauge("jobs_overdue_seconds", "How long the longest waits of the jobs that may start.", known.overdue)
    text = "1 for each name that is paused or whose breaker is open."
    switches = GaugeMetricFamily("scopekit_queue_paused", text, labels=["name", "state"])
    for switch in known.switches:
        switches.add_metric([switch["name"], switch["state"]], 1)
    yield switches


def _of_outbox(state: "Record") -> Iterable[GaugeMetricFamily]:
    yield _gauge("analytics_waiting", "Analytics events whose delivery is owed.", state["waiting"])
    yield _gauge("analytics_oldest_seconds", "Age of the oldest of them.", state["oldest_seconds"])
    yield _gauge("analytics_refused", "Analytics events that the receiver will not take.", state["refused"])


def _of_alerts(alerts: "list[Record]") -> Iterable[GaugeMetricFamily]:
    yield _by("alert", "alert_firing", "1 while a check_* alert of the database fires.", alerts, "firing")
    yield _by("alert", "alert_value", "What the alert measured.", alerts, "value")
    asked = [alert for alert in alerts if alert["age_seconds"] is not None]
    yield _by("alert", "alert_age_seconds", "How long ago a worker asked.", asked, "age_seconds")


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"scopekit_{name}", text, value=float(value))


def _by(label: str, name: str, text: str, rows: "list[Record]", column: str) -> GaugeMetricFamily:
    """Make one sample of each row; the label's value stands in the column of its name."""
    family = GaugeMetricFamily(f"scopekit_{name}", text, labels=[label])
    for row in rows:
        family.add_metric([row[label]], float(row[column]))
    return family
