"""A worker process, set up as the real one is, for work of a known length: `python -m benchmarks.queue.work`."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jobs.queue.context import JobContext
from jobs.queue.kind import Task
from jobs.worker.worker import main

STEADY_SECONDS = 0.1
BESIDE_SECONDS = 0.005
HANG_SECONDS = 60.0
KINDS_BESIDE = ("photo_jpegs", "analytics_delivery", "mail")


async def nothing(context: JobContext) -> None:
    """Complete at once."""
    await context.complete({})


async def steady(context: JobContext) -> None:
    """Complete after a tenth of a second."""
    await asyncio.sleep(STEADY_SECONDS)
    await context.complete({})


async def clock(context: JobContext) -> None:
    """Complete with the time at which the work began."""
    await context.complete({"began": time.time()})


async def beside(context: JobContext) -> None:
    """Be a job that nobody waits for: done in 5 ms, or hanging for a minute where that is asked for."""
    await asyncio.sleep(HANG_SECONDS if os.environ.get("BENCHMARK_HANGS") else BESIDE_SECONDS)
    await context.complete({})


@asynccontextmanager
async def tasks(*_: Any) -> AsyncIterator[Mapping[str, Task]]:
    """Lend the tasks by job type."""
    yield {"nothing": nothing, "steady": steady, "clock": clock, **dict.fromkeys(KINDS_BESIDE, beside)}


ARGUMENTS = [f"benchmarks.{Path(__file__).parent.name}.{Path(__file__).stem}"]

if __name__ == "__main__":
    main(tasks)
