"""The doorbell: an arq job `wake` that says there is something to claim. Losing one loses nothing but a second."""

import asyncio

from arq.connections import ArqRedis
from redis.exceptions import RedisError

from config.logging import get_logger
from jobs.wakeup.redis_client import close_redis

log = get_logger(__name__)

WAKE = "wake"

# Past this the caller goes on and the wake arrives when it can.
RING_SECONDS = 0.05
# Wakes under way at once; past that another one adds nothing.
MAX_RINGING = 8


class Doorbell:
    """Rings for workers, within 50 ms and without ever failing the caller."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis
        self._ringing: set[asyncio.Task[None]] = set()
        self._answers = True

    async def ring(self) -> None:
        """Wake a worker; when Redis does not answer in 50 ms, go on without."""
        if len(self._ringing) >= MAX_RINGING:
            return
        task = asyncio.create_task(self._wake())
        self._ringing.add(task)
        task.add_done_callback(self._ringing.discard)
        # Not cancelled at the deadline: arq would clean up behind it for as long as a dead socket takes.
        await asyncio.wait({task}, timeout=RING_SECONDS)

    async def close(self) -> None:
        """Give up the rings under way and close the connections."""
        for task in self._ringing:
            task.cancel()
        if self._ringing:
            await asyncio.wait(self._ringing, timeout=1.0)
        await close_redis(self._redis)

    async def _wake(self) -> None:
        try:
            await self._redis.enqueue_job(WAKE)
        except (RedisError, OSError, TimeoutError) as error:
            self._note(answers=False, error=type(error).__name__)
        else:
            self._note(answers=True)

    def _note(self, *, answers: bool, **details: str) -> None:
        """Log only when it changes: an outage is one line, not one per request."""
        if answers != self._answers:
            self._answers = answers
            if answers:
                log.info("Redis answers again")
            else:
                log.warning("Redis does not answer; workers look for jobs by themselves", **details)
