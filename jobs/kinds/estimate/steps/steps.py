"""The seven steps, and how each tells the visit's subscribers that it starts, moves on and ends."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from config.tracing import span

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobs.queue.context import JobContext


class Step(StrEnum):
    """The steps in their order."""

    GATHER = "gather"
    TRANSCRIBE = "transcribe"
    LOOK = "look"
    DRAFT = "draft"
    PRICE = "price"
    TOTAL = "total"
    SAVE = "save"


_ORDER = {step: index for index, step in enumerate(Step, start=1)}


@dataclass(slots=True)
class Progress:
    """How far a step is; `total` may be set once it is known."""

    ctx: JobContext
    step: Step
    total: int
    done: int = 0

    async def advance(self, item: str | None = None) -> None:
        """Say that one more item is done."""
        self.done += 1
        payload = {"step": self.step.value, "done": self.done, "total": self.total}
        await self.ctx.event("step.progress", payload | ({"item": item} if item else {}))


@asynccontextmanager
async def step(ctx: JobContext, which: Step, count: int = 1) -> AsyncIterator[Progress]:
    """Run a step of `count` items between its two events. Raises the queue's error when the job was cancelled."""
    ctx.raise_if_cancelled()
    started = time.perf_counter()
    with span(f"step {which.value}", count=count):
        await ctx.event("step.started", {"step": which.value, "index": _ORDER[which], "count": count})
        yield Progress(ctx, which, count)
        took_ms = round((time.perf_counter() - started) * 1000)
        await ctx.event("step.completed", {"step": which.value, "ms": took_ms})
