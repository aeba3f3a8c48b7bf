"""arq's traps: each of its settings that loses jobs, ends the worker or trusts Redis by default is set otherwise."""

import asyncio
from contextlib import suppress
from typing import Any

import orjson
import pytest
from arq.worker import Function
from arq.worker import Worker as ArqWorker
from redis.exceptions import ConnectionError as RedisConnectionError

from config.settings import Settings
from jobs.wakeup.arq_listener import KEEP_CRON_SECONDS, ArqListener
from jobs.wakeup.redis_client import close_redis, open_redis
from tests.jobs.conftest import DEADLINE_SECONDS


async def _fail() -> None:
    raise RuntimeError("the sweep is broken")


@pytest.fixture
async def arq(settings: Settings) -> Any:
    """Give the arq worker as the listener makes it, not running."""
    redis = open_redis(str(settings.redis_url))
    yield ArqListener(str(settings.redis_url), lambda: None, _fail)._worker(redis)
    await close_redis(redis)


async def test_its_connections_time_out_keep_alive_and_try_again(arq: Any) -> None:
    """A dead Redis is noticed in seconds, and twenty capped tries come before an error."""
    options = arq.pool.connection_pool.connection_kwargs
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (2.0, 1.0)
    assert options["socket_keepalive"] is True
    assert options["retry"]._retries == 20
    assert options["retry"]._backoff._cap == 1.0
    assert RedisConnectionError in options["retry_on_error"]


async def test_nothing_of_ours_is_unpickled(arq: Any) -> None:
    """Both ways are JSON; whoever can write to Redis cannot run code here."""
    assert arq.job_deserializer is orjson.loads
    assert orjson.loads(arq.job_serializer({"f": "wake", "odd": object})) == {"f": "wake", "odd": str(object)}


async def test_wakes_leave_no_result_and_a_tick_is_remembered_longer_than_it_lasts(arq: Any) -> None:
    """A kept result would refuse the next wake; a forgotten tick would be done twice."""
    assert arq.keep_result_s == 0
    wake = arq.functions["wake"]
    assert isinstance(wake, Function)
    assert wake.keep_result_s == 0
    assert {cron.name for cron in arq.cron_jobs} == {"sweep"}
    assert {cron.keep_result_s for cron in arq.cron_jobs} == {KEEP_CRON_SECONDS}
    assert KEEP_CRON_SECONDS >= 120
    assert all(cron.unique for cron in arq.cron_jobs)


async def test_it_polls_often_and_no_hook_can_throw(arq: Any) -> None:
    """Half a second between polls would be every job's wait; an on_job_start that raises would lose the job."""
    assert 0.02 <= arq.poll_delay_s <= 0.05
    assert (arq.on_job_start, arq.on_job_end, arq.after_job_end, arq.on_startup) == (None, None, None, None)


async def test_a_failing_job_never_raises_into_arq(arq: Any) -> None:
    """An exception out of a cron's job would be stored, retried and pickled."""
    assert [await cron.coroutine({}) for cron in arq.cron_jobs] == [None]


async def test_a_cancel_that_the_library_lets_pass_ends_it_all_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As redis-py does with one that comes in the moment of its answer; nobody has to cancel twice."""
    listens = asyncio.Event()
    passed = 0

    async def deaf_once(_worker: ArqWorker) -> None:
        nonlocal passed
        listens.set()
        if passed:
            await asyncio.Event().wait()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        passed += 1

    monkeypatch.setattr(ArqWorker, "_poll_iteration", deaf_once)
    listener = ArqListener(str(settings.redis_url), lambda: None, _fail)
    listening = asyncio.create_task(listener.listen_forever())
    async with asyncio.timeout(DEADLINE_SECONDS):
        await listens.wait()
        listening.cancel()
        await asyncio.wait({listening})
    assert (listening.cancelled(), passed) == (True, 1)
