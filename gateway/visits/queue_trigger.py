"""The runbook's queue processor, kept as a trigger: it wakes the workers and reports the outcome of the batch.

The gateway runs no job itself, so a job that no worker starts in time stays queued and spends no attempt.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from config.logging import get_logger
from gateway.context import Context, context_of
from gateway.http.body import json_response
from gateway.http.errors import problem
from gateway.http.internal_key import holds_internal_key
from store.errors import Unauthenticated
from store.pool import Record
from store.queue import jobs

_log = get_logger(__name__)

BATCH_SIZE = 10
MAX_PROCESSING_SECONDS = 55.0  # the caller gives up at 60
# Between two looks, a look being two index reads; it slows down while nothing finishes.
FIRST_LOOK_SECONDS = 0.1
SLOWEST_LOOK_SECONDS = 1.0

_FINAL = ("completed", "failed", "cancelled")


async def process_queue(request: Request) -> Response:
    """Answer `{processed, results}` for up to ten due jobs, or `{message}` when none is due."""
    context = context_of(request)
    if not holds_internal_key(request, context.settings):
        raise Unauthenticated("Send the internal queue key as `x-internal-key`.")
    try:
        return json_response(await _process(context))
    except Exception:  # noqa: BLE001 - the runbook's callers read `error`
        _log.exception("Queue processor error")
        detail = "The queue could not be processed; jobs stay queued. See the log for this correlation id."
        return problem(500, detail, error=detail)


async def _process(context: Context) -> dict[str, Any]:
    async with context.db.as_system() as conn:
        batch = await jobs.due_jobs(conn, BATCH_SIZE)
    if not batch:
        return {"message": "No jobs to process"}
    await context.queue.ring()
    outcomes = await _watch(context, batch)
    results = [_result(outcomes[job_id]) for job_id in batch if _is_processed(outcomes.get(job_id))]
    return {"processed": len(results), "results": results}


async def _watch(context: Context, batch: list[UUID]) -> Mapping[UUID, Record]:
    """Return the outcome of the jobs when all are over, or it is time to answer."""
    until = time.monotonic() + MAX_PROCESSING_SECONDS
    pause = FIRST_LOOK_SECONDS
    while True:
        async with context.db.as_system() as conn:
            outcomes = await jobs.outcomes(conn, batch)
        over = all(row["status"] in _FINAL for row in outcomes.values())
        if over or context.hub.admission.draining or time.monotonic() + pause > until:
            return outcomes
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, SLOWEST_LOOK_SECONDS)


def _is_processed(row: Record | None) -> bool:
    """Whether an attempt has ended: for good, or with an error and another one to come."""
    return row is not None and (row["status"] in _FINAL or (row["status"] == "queued" and row["error"] is not None))


def _result(row: Record) -> dict[str, Any]:
    ended = {"result": row["result"]} if row["status"] == "completed" else {"error": row["error"] or row["status"]}
    return {"job_id": row["job_id"], "status": row["status"], **ended}
