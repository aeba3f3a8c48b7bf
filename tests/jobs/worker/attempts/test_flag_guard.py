"""A worker starts no estimate whose flag is off: it waits at no cost, and goes on when the flag is on again."""

from datetime import UTC, datetime, timedelta

import pytest

from config.flags import Flag
from jobs.queue.context import JobContext
from store.queue import jobs
from store.queue.jobs import Failure
from store.tenants import flags
from tests.jobs.conftest import Bench, Working


async def _done(ctx: JobContext) -> None:
    await ctx.complete({})


async def _switch(bench: Bench, *, on: bool) -> None:
    async with bench.service.as_system() as conn:
        await flags.set_flag(conn, bench.tenant.id, Flag.ESTIMATION, "", on=on)


async def test_a_flag_that_is_off_puts_estimates_off_at_no_cost(bench: Bench, working: Working) -> None:
    """The worker hears of the change; the job keeps its attempts, says why it waits, and runs once it is on."""
    async with working({"estimate": _done}):
        await bench.until(await bench.enqueue(), "job.completed")  # the worker knows the flag as on now
        await _switch(bench, on=False)
        job_id = await bench.enqueue()
        while await bench.until(job_id, "job.retrying", "job.completed") == "job.completed":  # it had not heard yet
            job_id = await bench.enqueue()
        row = await bench.row(job_id)
        assert row is not None
        assert (row["status"], row["attempts"], row["error_code"]) == ("queued", 0, "turned_off")
        await _switch(bench, on=True)
        await bench.until(job_id, "job.completed")


@pytest.mark.parametrize("on", [True, False])
async def test_a_flag_turned_on_before_the_job_is_put_off_is_minded(bench: Bench, *, on: bool) -> None:
    """Who turned it on did not see that job among those that wait."""
    lease = await bench.running()
    await _switch(bench, on=on)
    async with bench.service.as_system() as conn:
        await jobs.fail(conn, lease, Failure("Off.", "turned_off", timedelta(minutes=10), refund=True))
    row = await bench.row(lease.job_id)
    assert row is not None
    assert (row["status"], row["run_at"] <= datetime.now(UTC)) == ("queued", on)


async def test_other_work_goes_on(bench: Bench, working: Working) -> None:
    """The flag is about estimates alone."""
    await _switch(bench, on=False)
    async with working({"other": _done}):
        await bench.until(await bench.enqueue("other"), "job.completed")
