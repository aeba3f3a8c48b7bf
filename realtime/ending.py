"""Ends tasks that would go on for ever."""

import asyncio

# Longer than anybody needs for a farewell.
AGAIN_SECONDS = 1.0


async def end(*tasks: "asyncio.Task[None] | None") -> None:
    """Cancel, and again what let it pass: asyncpg answers a cancel with the connection that was there just then."""
    left = {task for task in tasks if task is not None}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
