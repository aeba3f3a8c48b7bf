"""`/metrics`: figures of this process, its siblings on the machine and their queue, in Prometheus's format."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.context import context_of
from gateway.http.client_info import is_loopback
from gateway.http.internal_key import holds_internal_key
from gateway.ops.queue_metrics import QueueMetrics
from store.errors import Unauthenticated


class Metrics:
    """The numbers of one application: its process's, and the database's as they were up to a second ago."""

    def __init__(self) -> None:
        self._queue = QueueMetrics()
        self._registry = CollectorRegistry()
        self._registry.register(self._queue)

    async def answer(self, request: Request) -> Response:
        """Tell the numbers.

        For the holder of the internal queue key; on a developer's machine for any process. Raises `Unauthenticated`.
        """
        context = context_of(request)
        at_home = context.settings.is_local and is_loopback(request)
        if not (at_home or holds_internal_key(request, context.settings)):
            raise Unauthenticated("Send the internal queue key as Bearer token.")
        await self._queue.refresh(context.db)
        text = await context.metrics.export() + generate_latest(self._registry)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})


def routes() -> list[Route]:
    """Return the route, with numbers of its own: two applications in one process share none."""
    return [Route("/metrics", Metrics().answer)]
