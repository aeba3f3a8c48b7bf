"""The worker process: `python -m jobs.worker`. It claims jobs and runs them until it is told to stop."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import uvloop

from config.cancellation import cancel_all
from config.gc_tuning import collect_forever
from config.logging import configure_logging, get_logger
from config.metrics_registry import MetricsRegistry
from config.secrets_in_use import keys_in_use
from config.settings import Settings, SettingsError, load_settings
from config.telemetry import start_sentry
from config.tracing import flush_traces, start_tracing
from jobs.kinds.registry import KINDS
from jobs.queue.intervals import Intervals
from jobs.queue.kind import Kind, Task, by_name, unknown
from jobs.queue.retry import retry_with_backoff
from jobs.wakeup.arq_listener import ArqListener
from jobs.wakeup.control_listener import ControlListener
from jobs.wakeup.notifier import Doorbell
from jobs.wakeup.redis_client import open_redis
from jobs.worker.attempts.flag_guard import FlagGuard
from jobs.worker.attempts.lease import LeaseKeeper
from jobs.worker.claimer import BackgroundClaimer, Claimer
from jobs.worker.executor import Executor
from jobs.worker.lanes import Lanes
from jobs.worker.sweeper import Sweeper
from jobs.worker.tasks import open_tasks
from jobs.worker.ticker import Ticker
from jobs.worker.worker_metrics import WorkerMetrics
from store.ops.presence import Presence, process_name
from store.pool import AWAY, Database, WrongRole
from store.queue import kinds as known_kinds
from store.sandbox.confinement import hide_memory
from store.sandbox.survey import warn_of_missing_walls
from store.tenants.flag_cache import FlagCache

log = get_logger(__name__)

# Work may hold one while it reads and take others to tell its progress.
CONNECTIONS_PER_JOB = 3
# The claim, the renewal, the sweep, a photo taken and an outcome being recorded.
SPARE_CONNECTIONS = 5
END_SECONDS = 5.0


class Worker:
    """Executors with all that keeps them going: the doorbell, the leases, the sweep, the cancels.

    `tasks` are the functions by job type; what this worker does not do is not in there. `kinds` are all kinds.
    """

    def __init__(
        self,
        db: Database,
        tasks: Mapping[str, Task],
        settings: Settings,
        intervals: Intervals | None = None,
        kinds: tuple[Kind, ...] = KINDS,
    ) -> None:
        self._db = db
        self._kinds = kinds
        self._intervals = intervals or Intervals()
        self._settings = settings
        self._metrics_registry = MetricsRegistry(settings)
        metrics = WorkerMetrics(self._metrics_registry.registry, tasks)
        # Behind a transaction pooler LISTEN is taken and forgotten.
        may_listen = settings.database_listen_url is not None or not settings.database_pooled
        flags = FlagCache(db, lambda: self._control.generation if may_listen else None)
        redis_url = str(settings.redis_url)
        control_url = str(settings.database_listen_url or settings.worker_url)
        engine = settings.estimate_engine
        self._executor = Executor(
            db,
            tasks,
            size=settings.worker_concurrency,
            intervals=self._intervals,
            metrics=metrics,
            engine=engine,
            flag_guard=FlagGuard(flags),
        )
        metrics.set_slots(self._executor.size, lambda: self._executor.under_way)
        woken = asyncio.Event()
        background = {
            kind.lane: self._background(kind, tasks, metrics, woken)
            for kind in (by_name(kinds).get(name) or unknown(name) for name in tasks)
            if not kind.waited_for
        }
        self._background_claimer = BackgroundClaimer(
            db, background, woken, name=process_name(), intervals=self._intervals
        )
        self._executors = (self._executor, *background.values())
        self._lanes = Lanes(self._executor, background)
        self._claimer = Claimer(
            db,
            self._executor,
            name=process_name(),
            intervals=self._intervals,
            tenant_cap=settings.tenant_concurrency,
            engine=engine,
        )
        self._doorbell = Doorbell(open_redis(redis_url))
        self._keeper = LeaseKeeper(db, self._lanes, self._intervals)
        self._sweeper = Sweeper(db, self._lanes, self._doorbell, self._intervals, metrics)
        self._ticker = Ticker(db, [kind for kind in kinds if kind.name in tasks])
        self._presence = Presence(db, "worker", self._load, keys_in_use(settings))
        self._control = ControlListener(
            control_url,
            on_queued=self._lanes.wake,
            on_cancel=self._lanes.cancel,
            on_flags=flags.forget,
            on_connect=self._keeper.renew,
            worker=process_name() if may_listen else None,
        )
        self._arq_listener = ArqListener(redis_url, self._lanes.wake, self._sweeper.sweep)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then give running jobs their grace and hand the rest back.

        Raises the error of a loop that ended: a worker that can no longer do one part must not limp on.
        """
        await retry_with_backoff(self._register_kinds, on=AWAY)
        loops = [asyncio.create_task(work, name=name) for name, work in self._loops()]
        claims = (self._claimer, self._background_claimer)
        claiming = [asyncio.create_task(claimer.claim_forever(), name="claims") for claimer in claims]
        asked = asyncio.create_task(stop.wait(), name="stop")
        log.info("Worker started", slots=self._executor.free)
        try:
            await asyncio.wait({asked, *claiming, *loops}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # A claim under way is waited for: cancelled, it may have taken jobs that nobody would run.
            for claimer in claims:
                claimer.stop()
            await asyncio.wait(claiming)
            log.info("Worker stops", running=len(self._lanes.runs), grace_s=self._intervals.grace_s)
            await asyncio.gather(*(executor.shut_down(self._intervals.grace_s) for executor in self._executors))
            if left := await cancel_all(asked, *loops, again_s=END_SECONDS, tries=2):
                log.warning("Some parts did not end in time", parts=sorted(task.get_name() for task in left))
            await self._doorbell.close()
        for task in (*claiming, *loops):
            if task.done() and not task.cancelled():
                task.result()

    def _background(
        self, kind: Kind, tasks: Mapping[str, Task], metrics: WorkerMetrics, woken: asyncio.Event
    ) -> Executor:
        return Executor(
            self._db,
            tasks,
            size=kind.slots(self._settings.worker_concurrency),
            intervals=self._intervals,
            metrics=metrics,
            kind=kind,
            woken=woken,
        )

    async def _register_kinds(self) -> None:
        async with self._db.as_system() as conn:
            await known_kinds.register(conn, [kind.as_row() for kind in self._kinds])

    def _load(self) -> dict[str, int]:
        return {"slots": self._executor.size, "running": self._executor.working}

    def _loops(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        yield "leases", self._keeper.keep_forever()
        yield "sweep", self._sweeper.sweep_forever()
        yield "watch", self._sweeper.watch_forever()
        yield "ticks", self._ticker.tick_forever()
        yield "presence", self._presence.keep_forever()
        yield "control", self._control.listen_forever()
        yield "doorbell", self._arq_listener.listen_forever()
        yield "metrics", self._metrics_registry.serve_forever(self._settings.host, self._settings.metrics_port)


OpenTasks: TypeAlias = Callable[[Settings, Database], AbstractAsyncContextManager[Mapping[str, Task]]]


async def work(settings: Settings, tasks_of: OpenTasks) -> None:
    """Open a worker's resources and run it until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    db = await Database.open(
        settings.worker_url,
        name="worker",
        size=settings.worker_concurrency * CONNECTIONS_PER_JOB + SPARE_CONNECTIONS,
        role="service_role",
        pooled=settings.database_pooled,
    )
    collecting = asyncio.create_task(collect_forever(), name="garbage")
    surveying = asyncio.create_task(warn_of_missing_walls(), name="sandbox")
    try:
        async with tasks_of(settings, db) as tasks:
            await Worker(db, tasks, settings).run(stop)
    finally:
        await cancel_all(collecting, surveying)
        await db.close()
        await asyncio.to_thread(flush_traces)
        for number in (signal.SIGTERM, signal.SIGINT):  # uvloop leaves them to a loop that is closed
            asyncio.get_running_loop().remove_signal_handler(number)


def main(tasks_of: OpenTasks = open_tasks) -> None:
    """Run a worker that does these tasks; exits 1 with a sentence when the environment is incomplete."""
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.exit(f"{error}")
    hide_memory()
    configure_logging(level=settings.log_level, function=settings.function_name)
    logging.getLogger("arq").setLevel(logging.WARNING)  # else two lines for every wake
    start_sentry(settings)
    start_tracing(settings)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work(settings, tasks_of))
    except WrongRole as error:
        sys.exit(f"{error}")
