"""`/metrics`: what this process and its queue do, as Prometheus reads it.

Nothing is counted here: the hub keeps plain numbers where things happen, and they are read when somebody asks.
"""

import ipaddress
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.logging import get_logger
from gateway.auth import Unauthenticated
from gateway.context import Context, context_of
from gateway.internal_key import holds_internal_key
from store import health, queue_control
from store.errors import Unavailable

if TYPE_CHECKING:
    from realtime.histogram import Histogram
    from realtime.hub import Hub
    from store.pool import Database, Record

_log = get_logger(__name__)

Family: TypeAlias = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

# Several scrapers cost the database no more than one.
KEPT_SECONDS = 1.0

_COUNTERS = {
    "opened": ("streams_opened", "Streams admitted."),
    "events": ("events_heard", "Notifications that brought something new to a watched visit."),
    "deliveries": ("stream_deliveries", "Pieces of one or more events given to a stream."),
    "bytes": ("stream_bytes", "Bytes of events given to streams, live and replayed."),
    "replays": ("stream_replays", "Streams that were given events they had missed."),
    "replayed": ("events_replayed", "Missed events given to streams."),
    "healed": ("gaps_healed", "Holes in what was heard, filled from the table."),
    "reconnects": ("listener_reconnects", "Times the listener came back."),
    "slow": ("streams_slow_closed", "Streams closed because their reader did not keep up."),
    "vanished": ("streams_vanished", "Streams closed because their reader acknowledged nothing for a heartbeat."),
    "superseded": ("events_superseded", "Progress left out for slow readers because later progress said it all."),
    "malformed": ("notifications_malformed", "Notifications that no trigger of ours has sent, dropped."),
}
_GAUGES = {
    "streams": ("streams_open", "Open streams."),
    "channels": ("visits_watched", "Visits with an open stream."),
    "live": ("listener_live", "1 while NOTIFY is known to arrive, 0 while the table is polled."),
    "draining": ("draining", "1 while this process lets its streams go."),
}


class Metrics(Collector):
    """The numbers of one application: its hub's, and the database's as they were up to a second ago."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._hub: Hub | None = None
        self._usage: float | None = None
        self._depths: list[Record] = []
        self._switches: list[dict[str, Any]] = []
        self._looked_at = float("-inf")

    async def answer(self, request: Request) -> Response:
        """Tell the numbers of this process.

        To who holds the internal queue key; on a developer's own machine to that machine too. Raises `Unauthenticated`.
        """
        context = context_of(request)
        at_home = context.settings.is_local and _is_loopback(request)
        if not (at_home or holds_internal_key(request, context.settings)):
            raise Unauthenticated("Send the internal queue key as Bearer token.")
        await self._look(context)
        return Response(generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_LATEST})

    def collect(self) -> Iterable[Family]:
        """Return every family; of the database's only those it told."""
        if self._hub is not None:
            yield from _of_hub(self._hub)
        if self._usage is not None:
            yield _gauge("notify_queue_usage_ratio", "How full the server's notification queue is.", self._usage)
        if self._depths:
            yield _by_status("jobs", "Jobs by state.", self._depths, "depth")
            yield _by_status("jobs_oldest_seconds", "Age of the oldest job by state.", self._depths, "oldest_seconds")
            yield _by_status("jobs_average_seconds", "Average age of jobs by state.", self._depths, "average_seconds")
        yield _of_switches(self._switches)

    async def _look(self, context: Context) -> None:
        """Ask the database, at most once a second; while it is away, its numbers are missing and the rest is told."""
        self._hub = context.hub
        now = time.monotonic()
        if now - self._looked_at < KEPT_SECONDS:
            return
        self._looked_at = now
        try:
            self._usage, self._depths, self._switches = await _ask(context.db)
        except (Unavailable, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self._usage, self._depths, self._switches = None, [], []
            _log.warning("The database's numbers are missing", error=type(error).__name__)


async def _ask(db: "Database") -> "tuple[float, list[Record], list[dict[str, Any]]]":
    async with db.connection() as conn:
        depths = await health.queue_depths(conn)
        return await health.notify_queue_usage(conn), depths, await queue_control.switches(conn)


def _of_switches(switches: list[dict[str, Any]]) -> GaugeMetricFamily:
    text = "1 for each name that is paused or whose breaker is open."
    family = GaugeMetricFamily("scopekit_queue_switch", text, labels=["name", "state"])
    for switch in switches:
        family.add_metric([switch["name"], switch["state"]], 1)
    return family


def _of_hub(hub: "Hub") -> Iterable[Family]:
    stats: Mapping[str, float] = hub.stats()
    for key, (name, text) in _COUNTERS.items():
        yield CounterMetricFamily(f"scopekit_{name}", text, value=stats[key])
    for key, (name, text) in _GAUGES.items():
        yield _gauge(name, text, float(stats[key]))
    refused = CounterMetricFamily("scopekit_streams_refused", "Streams refused softly, by limit.", labels=["reason"])
    for reason, count in hub.admission.refusals.items():
        refused.add_metric([reason], count)
    yield refused
    # Two clocks, the database's and ours: a skew between the machines is in it, and a negative one counts as nothing.
    yield _histogram("event_latency_seconds", "From an event's INSERT to its write to the streams.", hub.latency)
    yield _histogram("loop_lag_seconds", "How late the event loop turned, asked twice a second.", hub.lag)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"scopekit_{name}", text, value=value)


def _histogram(name: str, text: str, counted: "Histogram") -> HistogramMetricFamily:
    return HistogramMetricFamily(f"scopekit_{name}", text, buckets=counted.buckets(), sum_value=counted.total)


def _by_status(name: str, text: str, rows: "list[Record]", column: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"scopekit_{name}", text, labels=["status"])
    for row in rows:
        family.add_metric([row["status"]], row[column])
    return family


def _is_loopback(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:  # a name, as a test client has
        return False


def routes() -> list[Route]:
    """Return the route, with numbers of its own: two applications in one process share none."""
    return [Route("/metrics", Metrics().answer)]
