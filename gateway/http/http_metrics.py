"""How many requests were answered, how, and how long it took: by route, never by path."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram

# Of a request, streams aside: those are handed over at once, and counted by the hub.
_SECONDS = (0.01, 0.025, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)


class HttpMetrics:
    """The requests of one application."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answered = Counter(
            "scopekit_http_requests",
            "Requests by route, method and status; 0: broken off before an answer.",
            ["route", "method", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "scopekit_http_request_seconds",
            "How long requests took, by route.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        # Finding a labelled child costs ten times what counting does; there are as many as routes and statuses.
        self._count_of = cache(lambda route, method, status: self._answered.labels(route, method, str(status)))
        self._time_of = cache(self._seconds.labels)

    def note(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._count_of(route, method, status).inc()
        self._time_of(route).observe(seconds)
