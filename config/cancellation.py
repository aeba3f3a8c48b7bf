"""Ends tasks that would go on for ever."""

import asyncio
from typing import Any

AGAIN_SECONDS = 0.25


async def cancel_all(
    *tasks: "asyncio.Task[Any] | None", again_s: float = AGAIN_SECONDS, tries: int | None = None
) -> "set[asyncio.Task[Any]]":
    """Cancel a task, and again every `again_s` seconds if it swallows the cancel; returns the tasks left at the end.

    A cancel is lost in a library that has its answer, its error or its own timeout at that very moment: of a reader of
    Redis that is stopped while it connects, one in seven.
    """
    left = {task for task in tasks if task is not None}
    while left and tries != 0:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=again_s)
        tries = None if tries is None else tries - 1
    return left
