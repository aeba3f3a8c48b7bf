"""Enqueue: once, in the caller's transaction, heard by everybody it concerns."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from store.errors import Conflict, NotFound, Unprocessable
from tests.jobs.conftest import Bench


async def test_a_job_is_queued_with_its_event_in_one_transaction(bench: Bench) -> None:
    """A rolled back request leaves neither job nor event."""
    visit = await bench.visit()

    async def fail_after_enqueue() -> None:
        async with bench.db.as_user(bench.tenant.claims) as conn:
            await bench.queue.enqueue(conn, tenant_id=bench.tenant.id, visit_id=visit)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_after_enqueue()
    assert await bench.admin.fetchval("SELECT count(*) FROM ai_jobs WHERE visit_id = $1", visit) == 0
    assert await bench.admin.fetchval("SELECT count(*) FROM processing_events WHERE visit_id = $1", visit) == 0
    job_id = await bench.enqueue(visit=visit)
    assert await bench.events(job_id) == ["job.queued"]


async def test_the_same_key_gives_the_first_job_whatever_became_of_it(bench: Bench) -> None:
    """Queued, running, completed or dead: a repeated request makes no second job."""
    visit = await bench.visit()
    first = await bench.enqueue(visit=visit, idempotency_key="once")
    assert await bench.enqueue(visit=visit, idempotency_key="once") == first
    await bench.claim()
    assert await bench.enqueue(visit=visit, idempotency_key="once") == first
    await bench.admin.execute("UPDATE ai_jobs SET attempts = 3 WHERE id = $1", first)
    await bench.admin.execute("SELECT move_to_dlq($1, 'broken')", first)
    assert await bench.enqueue(visit=visit, idempotency_key="once") == first
    assert (await bench.status(first))["status"] == "failed"


async def test_ten_requests_with_one_key_make_one_job(bench: Bench) -> None:
    """Retries of a phone on a bad line arrive together."""
    visit = await bench.visit()

    async def ask() -> tuple[UUID, bool]:
        async with bench.db.as_user(bench.tenant.claims) as conn:
            job, created = await bench.queue.enqueue(
                conn, tenant_id=bench.tenant.id, visit_id=visit, idempotency_key="same"
            )
            return job["id"], created

    answers = await asyncio.gather(*(ask() for _ in range(10)))
    assert len({job_id for job_id, _ in answers}) == 1
    assert sum(created for _, created in answers) == 1


async def test_a_visit_has_one_active_job(bench: Bench) -> None:
    """A second request without the key is a conflict that names the first."""
    visit = await bench.visit()
    first = await bench.enqueue(visit=visit)
    with pytest.raises(Conflict) as caught:
        await bench.enqueue(visit=visit)
    assert caught.value.extra == {"job_id": str(first)}


async def test_a_key_of_another_visit_is_refused(bench: Bench) -> None:
    """A key must not make one visit's request answer with another's job."""
    await bench.enqueue(idempotency_key="taken")
    with pytest.raises(Unprocessable, match="Idempotency-Key"):
        await bench.enqueue(idempotency_key="taken")


async def test_a_key_is_its_job_types_own(bench: Bench) -> None:
    """A client that sends one key with everything it asks for gets a job of each type."""
    visit = await bench.visit()
    estimate = await bench.enqueue(visit=visit, idempotency_key="k")
    assert await bench.enqueue("noop", visit=visit, idempotency_key="k") != estimate


async def test_a_key_is_its_tenants_own(bench: Bench, other: Bench) -> None:
    """Two tenants may choose the same key."""
    assert await bench.enqueue(idempotency_key="k") != await other.enqueue(idempotency_key="k")


async def test_a_finished_visit_can_be_estimated_again(bench: Bench) -> None:
    """Only active jobs stand in the way."""
    visit = await bench.visit()
    first = await bench.enqueue(visit=visit)
    await bench.cancel(first)
    assert await bench.enqueue(visit=visit) != first


async def test_a_job_is_invisible_to_other_tenants(bench: Bench, other: Bench) -> None:
    """Status, cancel and position answer a stranger as if there were no job."""
    job_id = await bench.enqueue()
    with pytest.raises(NotFound):
        await other.status(job_id)
    with pytest.raises(NotFound):
        await other.cancel(job_id)
    async with other.db.as_user(other.tenant.claims) as conn:
        assert await conn.fetchval("SELECT scopekit.queue_position($1)", job_id) is None
    row = await bench.row(job_id)
    assert row is not None
    assert row["status"] == "queued"


async def test_a_visit_shows_how_far_its_estimate_is(bench: Bench) -> None:
    """The visit is finalizing while a job is active, and open again once it is cancelled."""
    visit = await bench.visit()
    query = "SELECT status FROM site_visits WHERE id = $1"
    job_id = await bench.enqueue(visit=visit)
    assert await bench.admin.fetchval(query, visit) == "finalizing"
    await bench.cancel(job_id)
    assert await bench.admin.fetchval(query, visit) == "in_progress"


@pytest.mark.parametrize(
    "call",
    [
        "public.claim_ai_jobs(1)",
        "public.move_to_dlq(gen_random_uuid(), '')",
        "scopekit.sweep(1)",
        "scopekit.redrive(gen_random_uuid())",
        "scopekit.release_job(gen_random_uuid(), gen_random_uuid())",
    ],
)
async def test_the_gateways_own_login_may_not_do_a_workers_work(bench: Bench, call: str) -> None:
    """Of the queue it may see what is due and what became of it."""
    async with bench.db.as_system() as conn:
        assert await conn.fetch("SELECT * FROM scopekit.due_jobs(1)") == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(f"SELECT {call}")
