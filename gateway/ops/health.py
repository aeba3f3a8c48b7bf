"""Health, in three answers: the runbook's report, whether the process lives, whether to send it traffic."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.context import context_of
from gateway.http.body import json_response
from gateway.http.client_info import address_of, limit_key
from gateway.http.limits.rate_limiter import spend

# The runbook's line between healthy and degraded.
HEALTHY_DEPTH = 100

# An estimate that may start and has not: the queue stands still.
LONGEST_WAIT_SECONDS = 300.0

_UNKNOWN: dict[str, Any] = {"depth": 0, "last_job_success": None, "overdue": 0.0}
_NO_STORE = {"cache-control": "no-store"}


async def health(request: Request) -> Response:
    """Report database, storage and queue: 200 healthy; 503 degraded, or unhealthy when the database is away.

    `problems` says in words what is wrong, where anything is.

    Raises `TooMany` for an address that asks too often.
    """
    context, address = context_of(request), limit_key(address_of(request))
    spend(context.costs.health, address)
    probe = context.probe
    queue, storage = await asyncio.gather(probe.queue(), probe.storage())
    database = queue is not None
    found, switches = queue or (_UNKNOWN, [])
    stands_still = found["overdue"] > LONGEST_WAIT_SECONDS and not any(
        switch["state"] == "paused" for switch in switches
    )
    queue_healthy = database and found["depth"] < HEALTHY_DEPTH and not stands_still
    refusal = context.presence.refusal if database else "The database does not answer in time."
    problems = list(_problems(refusal, found, storage=storage, stands_still=stands_still))
    paused = [{key: switch[key] for key in ("name", "state", "until")} for switch in switches]
    report = {
        "status": "healthy" if not problems else "degraded" if database else "unhealthy",
        "database": database,
        "storage": storage,
        "queue": {"depth": found["depth"], "healthy": queue_healthy, "paused": paused},
        "last_job_success": found["last_job_success"],
    } | ({"problems": problems} if problems else {})
    return json_response(report, 503 if problems else 200, _NO_STORE)


def _problems(refusal: str | None, found: Mapping[str, Any], *, storage: bool, stands_still: bool) -> Iterator[str]:
    if refusal is not None:
        yield refusal
    if not storage:
        yield "The file store does not answer in time."
    if stands_still:
        yield f"The queue stands still: an estimate that may start has waited for {found['overdue']:.0f} s."
    elif found["depth"] >= HEALTHY_DEPTH:
        yield f"{found['depth']} estimates wait."


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
        "database": await context.probe.database(),
    }
    ready = all(checks.values())
    return json_response({"status": "ready" if ready else "not ready", **checks}, 200 if ready else 503, _NO_STORE)


routes: list[Any] = [
    Route("/health", health),
    Route("/functions/v1/health", health, methods=["GET", "POST"]),
    Route("/livez", livez),
    Route("/readyz", readyz),
]
