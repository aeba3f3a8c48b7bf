"""The work of the harness: jobs that step, fail, wait and kill, and stamp each event with who wrote it."""

import asyncio
import os
import signal
from collections.abc import Mapping
from typing import Any

from jobs.kinds.estimate.errors import RateLimited, Refused, Transient
from jobs.queue.context import JobContext
from jobs.queue.kind import Task
from store.pool import Connection

RESULT = "fault.result"
STEPS = ("look", "draft")
STEP_SECONDS = 0.01
LONG_SECONDS = 1.5
HELD_SECONDS = 600.0
MANY_STEPS = 10
SNOOZE_SECONDS = 0.1


def stamp(context: JobContext) -> dict[str, Any]:
    """Return what tells this attempt's events from any other's."""
    return {"attempt": context.attempt, "pid": os.getpid()}


async def steady(context: JobContext) -> None:
    """Take two steps, each with events and a checkpoint, then complete with a row of its own."""
    for name in STEPS:
        if await context.checkpoint_get(name, "") is None:
            await context.event("step.started", {"step": name, **stamp(context)})
            await asyncio.sleep(STEP_SECONDS)
            await context.event("step.progress", {"step": name, **stamp(context)})
            await context.checkpoint_put(name, "", stamp(context))
    context.raise_if_cancelled()

    async def write(conn: Connection) -> None:
        await conn.execute(
            "INSERT INTO visit_sync_events (tenant_id, visit_id, event, payload) VALUES ($1, $2, $3, $4)",
            *(context.tenant_id, context.visit_id, RESULT, {"job_id": str(context.job_id)}),
        )

    told = {"event": RESULT, "properties": {"job_id": str(context.job_id)}}
    await context.complete({**stamp(context), "analytics": told}, write)


async def flaky(context: JobContext) -> None:
    """Fail once, in a way that passes."""
    if context.attempt == 1:
        raise Transient("Only the first time.")
    await steady(context)


async def limited(context: JobContext) -> None:
    """Be told once to come back later, which costs no attempt."""
    if await context.checkpoint_get("limited", "") is None:
        await context.checkpoint_put("limited", "", stamp(context))
        raise RateLimited("Too fast.", retry_after_s=SNOOZE_SECONDS)
    await steady(context)


async def doomed(_context: JobContext) -> None:
    """Fail for good."""
    raise Refused("Never.")


async def long(context: JobContext) -> None:
    """Run past several leases."""
    await asyncio.sleep(LONG_SECONDS)
    await steady(context)


async def held(context: JobContext) -> None:
    """Be in the middle of something for as long as the first worker lives; the next one finishes it."""
    if context.attempt == 1:
        await asyncio.sleep(HELD_SECONDS)
    await steady(context)


async def stepping(context: JobContext) -> None:
    """Take many steps of a second, as an estimate does: each with an event and a checkpoint."""
    for number in range(MANY_STEPS):
        if await context.checkpoint_get("many", str(number)) is None:
            await asyncio.sleep(1.0)
            await context.event("step.progress", {"step": "many", "done": number, **stamp(context)})
            await context.checkpoint_put("many", str(number), stamp(context))
    await steady(context)


async def poison(_context: JobContext) -> None:
    """Take the worker down, every time."""
    os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.Event().wait()


# `estimate` also moves its visit.
TASKS: Mapping[str, Task] = {
    "estimate": steady,
    "flaky": flaky,
    "limited": limited,
    "doomed": doomed,
    "long": long,
    "held": held,
    "stepping": stepping,
    "poison": poison,
}
