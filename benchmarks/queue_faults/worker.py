"""A worker process of the harness: the product's worker, with the harness' work and short leases."""

import asyncio
import multiprocessing
import os
import signal
import sys

from benchmarks.queue_faults.work import TASKS
from config.logging import configure_logging
from config.settings import Settings
from jobs.queue.intervals import Intervals
from jobs.worker.worker import CONNECTIONS_PER_JOB, SPARE_CONNECTIONS, Worker
from store.pool import AWAY, Database

# A worker that finds no database at its start ends, and is started again; any other end by itself is wrong.
NO_DATABASE = os.EX_TEMPFAIL
TIMING = Intervals(lease_s=0.8, renew_s=0.2, grace_s=0.3, sweep_s=0.3, poll_s=(0.1, 0.2), deadline_s=30.0)


def serve(settings: Settings, log: str, intervals: Intervals) -> None:
    """Work until SIGTERM; this is what a forked process runs."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    configure_logging(level=settings.log_level, function="worker")
    asyncio.run(_work(settings, intervals))


async def _work(settings: Settings, intervals: Intervals) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    harness = multiprocessing.parent_process()
    assert harness is not None
    loop.add_reader(harness.sentinel, os._exit, 1)  # it is gone, however it ended
    size = settings.worker_concurrency * CONNECTIONS_PER_JOB + SPARE_CONNECTIONS
    try:
        db = await Database.open(settings.worker_url, name="worker", size=size, role="service_role")
    except AWAY:
        sys.exit(NO_DATABASE)
    try:
        await Worker(db, TASKS, settings, intervals).run(stop)
    finally:
        await db.close()
