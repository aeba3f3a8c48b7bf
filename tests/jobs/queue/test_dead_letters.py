"""Failures, dead letters and their way back."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from store.errors import Conflict, NotFound
from store.queue import dead_letters, jobs
from store.queue.jobs import Failure, Settled
from tests.jobs.conftest import Bench

SOON = timedelta(seconds=2)


async def _fail(bench: Bench, failure: Failure, **more: object) -> tuple[UUID, Settled | None]:
    """Run a new job into a failure."""
    lease = await bench.running(**more)
    async with bench.service.as_system() as conn:
        return lease.job_id, await jobs.fail(conn, lease, failure)


async def _dead(bench: Bench, **more: object) -> UUID:
    """Make a dead job."""
    job_id, state = await _fail(bench, Failure("no such model", "misconfigured", None), **more)
    assert state == "failed"
    return job_id


async def _redrive(bench: Bench, dead_letter: UUID) -> dict[str, object]:
    async with bench.service.as_system() as conn:
        return await bench.queue.status(conn, await dead_letters.retry(conn, dead_letter, ""))


async def test_a_failed_first_attempt_is_queued_again_for_later(bench: Bench) -> None:
    """The job waits out its backoff, remembers why, and tells when it goes on."""
    job_id, state = await _fail(bench, Failure("timeout", "engine_unavailable", SOON))
    row = await bench.row(job_id)
    assert row is not None
    assert (state, row["status"], row["attempts"], row["last_error"]) == ("queued", "queued", 1, "timeout")
    assert row["lease_token"] is None
    assert await bench.claim() == []
    payload = await bench.payload(job_id, "job.retrying")
    assert (payload["error"], payload["attempt"]) == ("timeout", 1)
    assert payload["run_at"].endswith("Z")
    message = (await bench.status(job_id))["message"]
    assert message == "Waiting to try again in 2 seconds. The last try failed: timeout"


async def test_the_last_attempt_dead_letters(bench: Bench) -> None:
    """Three failures are enough when max_attempts says nothing; the row leaves ai_jobs with its error."""
    job_id, _ = await _fail(bench, Failure("timeout", "engine_unavailable", SOON))
    for _ in range(2):
        await bench.due(job_id)
        (row,) = await bench.claim()
        lease = jobs.Lease(job_id, row["lease_token"])
        async with bench.service.as_system() as conn:
            state = await jobs.fail(conn, lease, Failure("timeout", "engine_unavailable", SOON))
    assert state == "failed"
    assert await bench.row(job_id) is None
    (letter,) = await bench.dead(job_id)
    assert (letter["attempts"], letter["last_error"], letter["error_code"]) == (3, "timeout", "engine_unavailable")
    assert (await bench.events(job_id)).count("job.failed") == 1


async def test_an_error_without_hope_dead_letters_at_once(bench: Bench) -> None:
    """The first attempt is the last; its tenant reads why."""
    job_id = await _dead(bench)
    status = await bench.status(job_id)
    assert (status["status"], status["attempts"], status["last_error"]) == ("failed", 1, "no such model")
    assert status["message"] == "It did not work: no such model"
    assert status["finished_at"] is not None
    told = await bench.payload(job_id, "job.failed")
    assert told == {"error": "no such model", "code": "misconfigured", "correlation_id": str(job_id)}
    assert await bench.admin.fetchval("SELECT status FROM site_visits WHERE id = $1", status["visit_id"]) == "failed"


async def test_a_snooze_spends_no_attempt(bench: Bench) -> None:
    """A rate limit may come a hundred times without killing the job."""
    job_id, state = await _fail(bench, Failure("slow down", "engine_rate_limited", SOON, refund=True))
    row = await bench.row(job_id)
    assert row is not None
    assert (state, row["attempts"], row["last_error"]) == ("queued", 0, "slow down")


async def test_move_to_dlq_moves_only_what_used_up_its_attempts(bench: Bench) -> None:
    """One attempt short is left alone; an unknown id is no error."""
    lease = await bench.running()
    await bench.admin.execute("SELECT move_to_dlq($1, 'early')", lease.job_id)
    assert await bench.row(lease.job_id) is not None
    await bench.admin.execute("SELECT move_to_dlq($1, 'nobody')", uuid4())
    await bench.admin.execute("UPDATE ai_jobs SET attempts = 3 WHERE id = $1", lease.job_id)
    await bench.admin.execute("SELECT move_to_dlq($1, 'late')", lease.job_id)
    assert await bench.row(lease.job_id) is None
    assert [letter["last_error"] for letter in await bench.dead(lease.job_id)] == ["late"]


async def test_move_to_dlq_honours_max_attempts(bench: Bench) -> None:
    """A job that may be tried once is moved after one attempt."""
    lease = await bench.running()
    await bench.admin.execute("UPDATE ai_jobs SET max_attempts = 1 WHERE id = $1", lease.job_id)
    await bench.admin.execute("SELECT move_to_dlq($1, 'once')", lease.job_id)
    assert len(await bench.dead(lease.job_id)) == 1


async def test_two_callers_of_move_to_dlq_make_one_dead_letter(bench: Bench) -> None:
    """The row lock and the unique index leave room for one."""
    lease = await bench.running()
    await bench.admin.execute("UPDATE ai_jobs SET attempts = 3 WHERE id = $1", lease.job_id)

    async def move() -> None:
        async with bench.service.as_system() as conn:
            await conn.execute("SELECT move_to_dlq($1, 'twice')", lease.job_id)

    await asyncio.gather(move(), move(), move())
    assert len(await bench.dead(lease.job_id)) == 1
    assert (await bench.events(lease.job_id)).count("job.failed") == 1


async def test_a_completed_job_is_never_moved(bench: Bench) -> None:
    """Completed is final, however many attempts it took."""
    lease = await bench.running()
    async with bench.service.as_system() as conn:
        await jobs.complete(conn, lease, {}, None)
    await bench.admin.execute("UPDATE ai_jobs SET attempts = 3 WHERE id = $1", lease.job_id)
    await bench.admin.execute("SELECT move_to_dlq($1, 'late')", lease.job_id)
    assert await bench.row(lease.job_id) is not None
    assert await bench.dead(lease.job_id) == []


async def test_a_redrive_keeps_everything_and_counts_from_zero(bench: Bench) -> None:
    """The job comes back under its id with its key, payload and correlation id."""
    job_id = await _dead(bench, payload={"a": 1}, idempotency_key="k", correlation_id="c-1")
    before = (await bench.dead(job_id))[0]["job"]
    (letter,) = await bench.dead(job_id)
    status = await _redrive(bench, letter["id"])
    assert (status["id"], status["status"], status["attempts"], status["last_error"]) == (job_id, "queued", 0, None)
    row = await bench.row(job_id)
    assert row is not None
    assert (row["payload"], row["idempotency_key"], row["correlation_id"]) == ({"a": 1}, "k", "c-1")
    assert row["created_at"] == datetime.fromisoformat(before["created_at"])  # JSON drops zeros at its end
    assert (await bench.events(job_id))[-1] == "job.queued"
    assert [claimed["id"] for claimed in await bench.claim()] == [job_id]


async def test_a_second_redrive_changes_nothing(bench: Bench) -> None:
    """Two operators press the button at once: one job, queued once."""
    job_id = await _dead(bench)
    (letter,) = await bench.dead(job_id)
    statuses = await asyncio.gather(_redrive(bench, letter["id"]), _redrive(bench, letter["id"]))
    assert {status["id"] for status in statuses} == {job_id}
    assert (await bench.events(job_id)).count("job.queued") == 2
    await bench.claim()
    assert (await _redrive(bench, letter["id"]))["status"] == "running"


async def test_a_redriven_job_may_die_again(bench: Bench) -> None:
    """Each death has a letter; only the last one waits."""
    job_id = await _dead(bench)
    await _redrive(bench, (await bench.dead(job_id))[0]["id"])
    (row,) = await bench.claim()
    async with bench.service.as_system() as conn:
        await jobs.fail(conn, jobs.Lease(job_id, row["lease_token"]), Failure("again", "x", None))
    letters = await bench.dead(job_id)
    assert [letter["retried_at"] is None for letter in letters] == [False, True]
    assert (await bench.status(job_id))["last_error"] == "again"


async def test_a_redrive_does_not_disturb_a_newer_job(bench: Bench) -> None:
    """When the visit is being estimated again, the dead one stays where it is."""
    visit = await bench.visit()
    job_id = await _dead(bench, visit=visit)
    await bench.enqueue(visit=visit)
    (letter,) = await bench.dead(job_id)
    with pytest.raises(Conflict):
        await _redrive(bench, letter["id"])
    assert (await bench.dead(job_id))[0]["retried_at"] is None


async def test_a_redrive_of_nothing_says_so(bench: Bench) -> None:
    """An unknown dead letter is not found."""
    with pytest.raises(NotFound):
        await _redrive(bench, uuid4())


async def test_a_dead_letter_waits_once(bench: Bench) -> None:
    """The table itself refuses a second waiting letter of one job."""
    job_id = await _dead(bench)
    with pytest.raises(asyncpg.UniqueViolationError):
        await bench.admin.execute(
            "INSERT INTO ai_jobs_dlq (original_job_id, tenant_id, visit_id, job_type, attempts) "
            "SELECT original_job_id, tenant_id, visit_id, job_type, 1 FROM ai_jobs_dlq WHERE original_job_id = $1",
            job_id,
        )


async def test_a_redrive_keeps_what_the_job_was_given(bench: Bench) -> None:
    """Its attempts, its priority, its key and its trace: a dead job starts anew as what it was."""
    job_id = await _dead(bench, idempotency_key="again", correlation_id="c" * 8)
    await bench.admin.execute(
        'UPDATE jobs_dlq SET job = job || \'{"max_attempts": 7, "priority": -3}\' WHERE original_job_id = $1', job_id
    )
    (letter,) = await bench.dead(job_id)
    await _redrive(bench, letter["id"])
    row = await bench.row(job_id)
    assert row is not None
    assert (row["max_attempts"], row["priority"], row["attempts"]) == (7, -3, 0)
    assert (row["idempotency_key"], row["correlation_id"]) == ("again", "c" * 8)
