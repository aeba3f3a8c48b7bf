"""Ends tasks that would go on for ever."""

import asyncio

# Longer than a farewell takes where there is anybody to hear it.
AGAIN_SECONDS = 0.25


async def end(*tasks: "asyncio.Task[None] | None") -> None:
    """Cancel, and again what let it pass.

    A cancel is lost in a library that has its answer, its error or its own timeout at that very moment: of a reader of
    Redis that is stopped while it connects, one in seven.
    """
    left = {task for task in tasks if task is not None}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
