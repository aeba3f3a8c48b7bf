"""The same no-op jobs in procrastinate, on the same server, and in plain arq, whose jobs are Redis's alone."""

import asyncio
import time
from typing import Any

import procrastinate
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.worker import Worker
from arq.worker import func as arq_function

from benchmarks.queue.floor import Floor

CONCURRENCY = 100


async def procrastinate_rate(floor: Floor, count: int, concurrency: int = CONCURRENCY) -> float:
    """Return its no-op jobs a second, as it is when told to run so many at once."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=floor.services.admin_url))

    @app.task(name="nothing")
    async def nothing() -> None:
        """Do nothing."""

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await nothing.batch_defer_async(*({} for _ in range(count)))
        began = time.perf_counter()
        await app.run_worker_async(concurrency=concurrency, wait=False, listen_notify=False)
        return count / (time.perf_counter() - began)


async def arq_rate(floor: Floor, count: int, *, tuned: bool) -> float:
    """Return its no-op jobs a second: as it comes, or with a short poll, many at once and no results kept."""

    async def nothing(*_args: Any, **_kwargs: Any) -> None:
        """Do nothing."""

    redis: ArqRedis = await create_pool(RedisSettings.from_dsn(floor.services.redis_url))
    await redis.flushdb()
    for _ in range(count):
        await redis.enqueue_job("nothing")
    settings = {"max_jobs": CONCURRENCY, "poll_delay": 0.01, "keep_result": 0} if tuned else {}
    worker = Worker(
        functions=[arq_function(nothing, name="nothing")],
        redis_pool=redis,
        burst=True,
        handle_signals=False,
        **settings,  # type: ignore[arg-type]
    )
    began = time.perf_counter()
    await asyncio.shield(worker.async_run())
    took = time.perf_counter() - began
    await worker.close()
    return count / took
