"""Metrics of this process's streams: the hub's plain counters, read at each scrape."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from realtime.histogram import Histogram
    from realtime.hub import Hub

Family: TypeAlias = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

_COUNTERS = {
    "opened": ("streams_opened", "Streams admitted."),
    "events": ("events_received", "Notifications that brought something new to a watched visit."),
    "deliveries": ("stream_deliveries", "Pieces of one or more events given to a stream."),
    "bytes": ("stream_bytes", "Bytes of events given to streams, live and replayed."),
    "replays": ("stream_replays", "Streams that were given events they had missed."),
    "replayed": ("events_replayed", "Missed events given to streams."),
    "gaps_filled": ("gaps_filled", "Gaps in the live notifications, filled from the table."),
    "reconnects": ("listener_reconnects", "Times notifications came again after some may have been missed."),
    "published": ("bus_events_published", "Events this process has put on the event bus."),
    "slow": ("streams_slow_closed", "Streams closed because their reader did not keep up."),
    "replaced": ("streams_replaced", "Streams that gave way to a newer one of the same user."),
    "vanished": ("streams_vanished", "Streams closed because their reader acknowledged nothing for a heartbeat."),
    "superseded": ("events_superseded", "Progress left out for slow readers because later progress said it all."),
    "malformed": ("notifications_malformed", "Notifications that no trigger of ours has sent, dropped."),
}
_GAUGES = {
    "streams": ("streams_open", "Open streams."),
    "channels": ("visits_watched", "Visits with an open stream."),
    "kept": ("events_buffered_bytes", "Newest events of watched visits, kept in memory for clients that reconnect."),
    "live": ("listener_live", "1 while NOTIFY, or the event bus, is known to arrive, 0 while the table is polled."),
    "leads": ("bus_leader", "1 while this process writes the event bus for all gateways."),
    "draining": ("draining", "1 while this process lets its streams go."),
}


class StreamMetrics(Collector):
    """The numbers of one hub."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub

    def collect(self) -> Iterable[Family]:
        """Give every family."""
        return _of_hub(self._hub)


def _of_hub(hub: "Hub") -> Iterable[Family]:
    stats: Mapping[str, float] = hub.stats()
    # Those of the bus only where there is one.
    for key, (name, text) in _COUNTERS.items():
        if key in stats:
            yield CounterMetricFamily(f"scopekit_{name}", text, value=stats[key])
    for key, (name, text) in _GAUGES.items():
        if key in stats:
            yield GaugeMetricFamily(f"scopekit_{name}", text, value=float(stats[key]))
    refused = CounterMetricFamily("scopekit_streams_refused", "Streams refused softly, by limit.", labels=["reason"])
    for reason, count in hub.admission.refusals.items():
        refused.add_metric([reason], count)
    yield refused
    # Two clocks, the database's and ours: a skew between the machines is in it, and a negative one counts as nothing.
    yield _histogram("event_latency_seconds", "From an event's INSERT to its write to the streams.", hub.latency)
    yield _histogram("loop_lag_seconds", "How late the event loop turned, asked twice a second.", hub.lag)


def _histogram(name: str, text: str, counted: "Histogram") -> HistogramMetricFamily:
    return HistogramMetricFamily(f"scopekit_{name}", text, buckets=counted.buckets(), sum_value=counted.total)
