"""Answers the doorbell: an arq worker with `wake` and the sweep's cron. Without Redis it just waits for it.

arq ends at its first unhandled error; here that only means starting it again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import Any

from arq.connections import ArqRedis
from arq.cron import cron
from arq.worker import Worker as ArqWorker
from arq.worker import func
from redis.exceptions import RedisError

from config.logging import get_logger
from jobs.queue.retry import backoff
from jobs.wakeup.notifier import WAKE
from jobs.wakeup.redis_client import QUEUE, WAKE_LIFE_MS, close_redis, open_redis

log = get_logger(__name__)

POLL_SECONDS = 0.03
# Longer than the sweep's own period: the kept result is what makes it once per tick across workers.
KEEP_CRON_SECONDS = 120
JOB_SECONDS = 20
LEAVE_SECONDS = 1.0
LEAVE_TRIES = 10


class ArqListener:
    """Calls `on_wake` for every wake, and `on_sweep` at second 0 and 30, once across all workers."""

    def __init__(
        self,
        url: str,
        on_wake: Callable[[], None],
        on_sweep: Callable[[], Awaitable[None]],
    ) -> None:
        self._url = url
        self._on_wake = on_wake
        self._on_sweep = on_sweep
        self._away = False

    async def listen_forever(self) -> None:
        """Serve the doorbell, and begin again whenever Redis or arq fails."""
        failures = 0
        while not _cancelled():
            started = time.monotonic()
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError) as error:
                self._note(away=True, error=type(error).__name__)
            except Exception:
                log.exception("The doorbell failed; starting it again")
            failures = 1 if time.monotonic() - started > JOB_SECONDS else failures + 1
            await asyncio.sleep(backoff(min(failures, 2)))

    async def _listen(self) -> None:
        redis = open_redis(self._url)
        try:
            await _forget_stale(redis)
            self._note(away=False)
            await _serve(self._worker(redis))
        finally:
            await close_redis(redis)

    def _worker(self, redis: ArqRedis) -> ArqWorker:
        async def wake(*_args: Any, **_kwargs: Any) -> None:
            self._on_wake()

        async def sweep(*_args: Any, **_kwargs: Any) -> None:
            try:
                await self._on_sweep()
            except Exception:
                log.exception("The sweep failed")  # never out of an arq job

        return ArqWorker(
            functions=[func(wake, name=WAKE, keep_result=0)],
            cron_jobs=[
                cron(sweep, name="sweep", second={0, 30}, keep_result=KEEP_CRON_SECONDS),
            ],
            redis_pool=redis,
            queue_name=QUEUE,
            handle_signals=False,
            poll_delay=POLL_SECONDS,
            keep_result=0,
            job_timeout=JOB_SECONDS,
            job_serializer=redis.job_serializer,
            job_deserializer=redis.job_deserializer,
            health_check_interval=60,
            timezone=UTC,
            log_results=False,
        )

    def _note(self, *, away: bool, **details: str) -> None:
        """Log only when it changes."""
        if away != self._away:
            self._away = away
            if away:
                log.warning("Redis does not answer; looking for jobs without it", **details)
            else:
                log.info("Redis answers again")


def _cancelled() -> bool:
    """Whether this task was cancelled, also when the awaited call has let that pass."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _forget_stale(redis: ArqRedis) -> None:
    """Drop wakes that nobody received while no worker ran: their jobs are found without them."""
    oldest = int(time.time() * 1000) - WAKE_LIFE_MS
    await redis.zremrangebyscore(QUEUE, "-inf", oldest)


async def _serve(worker: ArqWorker) -> None:
    """Let arq run until it fails, or until this task is cancelled: it is waited for beside, so that this notices it.

    A cancel that goes through arq into redis-py is lost where that has its answer, or its timeout, at that very moment.
    """
    serving = asyncio.create_task(worker.async_run(), name="arq")
    try:
        if not _cancelled():
            await asyncio.wait({serving})
    finally:
        await _leave(worker, serving)
    serving.result()


async def _leave(worker: ArqWorker, serving: "asyncio.Task[None]") -> None:
    """End arq, and the tasks it left running; its own close() would wait without a deadline and re-raise.

    A wake is let finish first: arq shields that part, and cancelled it would go on behind our back.
    """
    for _ in range(LEAVE_TRIES):
        serving.cancel()
        await asyncio.wait({serving}, timeout=LEAVE_SECONDS / LEAVE_TRIES)
        if serving.done():
            break
    tasks = [serving, *worker.tasks.values()]
    _, left = await asyncio.wait(tasks, timeout=LEAVE_SECONDS)
    for task in left:
        task.cancel()
    await asyncio.wait(tasks, timeout=LEAVE_SECONDS)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # seen: Redis went away under it
