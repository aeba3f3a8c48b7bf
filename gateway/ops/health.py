"""Health, in three answers: the runbook's report, whether the process lives, whether to send it traffic."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.logging import get_logger
from gateway.context import Context, context_of
from gateway.http.body import json_response
from gateway.http.deadline import Answer, within
from store.ops import health as store_health
from store.queue import queue_control

_log = get_logger(__name__)

# The whole report must be out within 500 ms; the checks run side by side.
CHECK_SECONDS = 0.4
# The runbook's line between healthy and degraded.
HEALTHY_DEPTH = 100

_NO_STORE = {"cache-control": "no-store"}


async def health(request: Request) -> Response:
    """Report database, storage and queue: 200 healthy; 503 degraded, or unhealthy when the database is away."""
    context = context_of(request)
    database, storage = await asyncio.gather(
        _within("database", _queue(context)), _within("storage", _ping_storage(context))
    )
    depth, last, paused = database if database is not None else (0, None, [])
    queue_healthy = database is not None and depth < HEALTHY_DEPTH
    all_well = bool(storage) and queue_healthy
    report = {
        "status": "healthy" if all_well else "degraded" if database is not None else "unhealthy",
        "database": database is not None,
        "storage": bool(storage),
        "queue": {"depth": depth, "healthy": queue_healthy, "paused": paused},
        "last_job_success": last,
    }
    return json_response(report, 200 if all_well else 503, _NO_STORE)


async def livez(_request: Request) -> Response:
    """Answer as long as the event loop turns; nothing else is asked."""
    return json_response({"status": "ok"}, headers=_NO_STORE)


async def readyz(request: Request) -> Response:
    """Tell a load balancer whether to send traffic: the database answers and the process is not draining.

    Not the queue's depth: at 100 queued jobs the upload nodes are needed, not taken out.
    """
    context = context_of(request)
    checks = {
        "accepting": not context.hub.admission.draining,
        "database": bool(await _within("database", _ping_database(context))),
    }
    ready = all(checks.values())
    return json_response({"status": "ready" if ready else "not ready", **checks}, 200 if ready else 503, _NO_STORE)


async def _ping_database(context: Context) -> bool:
    async with context.db.connection() as conn:
        await store_health.ping(conn)
    return True


async def _ping_storage(context: Context) -> bool:
    await context.objects.ping()
    return True


async def _queue(context: Context) -> tuple[int, datetime | None, list[dict[str, Any]]]:
    async with context.db.connection() as conn:
        row = await store_health.queue_health(conn)
        switches = await queue_control.switches(conn)
    paused = [{key: switch[key] for key in ("name", "state", "until")} for switch in switches]
    return row["depth"], row["last_job_success"], paused


async def _within(name: str, check: Coroutine[Any, Any, Answer]) -> Answer | None:
    """Return the check's answer, or None when it fails or is late; the reason goes to the log alone."""
    try:
        return await within(CHECK_SECONDS, check)
    except Exception as error:  # noqa: BLE001 - a health check reports whatever went wrong by name
        _log.warning("Health check failed", check=name, error=type(error).__name__)
        return None


routes: list[Any] = [
    Route("/health", health),
    Route("/functions/v1/health", health),
    Route("/livez", livez),
    Route("/readyz", readyz),
]
