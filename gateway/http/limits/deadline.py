"""A deadline that holds even where the work is slow to give up."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


async def within(seconds: float, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Return the result of the work. Raises `TimeoutError` when it is late, and the errors of the work.

    Not by `asyncio.timeout`: taking a connection back from a server that hangs lasts 5 s more, and is not waited for.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, so that nobody warns of it
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()
