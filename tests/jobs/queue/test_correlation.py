"""One id from the request to the last word about its job."""

from store.queue import jobs
from store.queue.jobs import Done, Lease
from tests.jobs.conftest import Bench

ASKED_BY = "from-the-phone"


async def _told(bench: Bench, lease: Lease) -> dict[str, str]:
    rows = await bench.admin.fetch(
        "SELECT type, payload ->> 'correlation_id' AS id FROM processing_events WHERE job_id = $1", lease.job_id
    )
    return {row["type"]: row["id"] for row in rows}


async def test_every_move_of_a_job_names_the_request_that_asked_for_it(bench: Bench) -> None:
    """Queued, started, lost and released, started again, completed."""
    lost = await bench.running(correlation_id=ASKED_BY)
    await bench.expire(lost)
    await bench.sweep()
    await bench.due(lost.job_id)
    [row] = await bench.claim()
    async with bench.service.as_system() as conn:
        await jobs.complete_many(conn, [Done(Lease(row["id"], row["lease_token"]), {}, None)])
    assert await _told(bench, lost) == dict.fromkeys(
        ("job.queued", "job.started", "job.released", "job.completed"), ASKED_BY
    )


async def test_a_cancel_names_it_too(bench: Bench) -> None:
    """Ended by its worker; a job whose request sent no id goes by its own."""
    lease = await bench.running()
    await bench.cancel(lease.job_id)
    async with bench.service.as_system() as conn:
        await jobs.finish_cancelled(conn, lease)
    assert await _told(bench, lease) == dict.fromkeys(("job.queued", "job.started", "job.cancelled"), str(lease.job_id))
