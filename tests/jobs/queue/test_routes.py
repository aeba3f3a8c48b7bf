"""Jobs over HTTP."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from store.queue import jobs
from store.queue.jobs import Failure, Lease
from tests.jobs.conftest import Bench, Working
from tests.jobs.worker.test_worker import echo
from tests.stack import QUEUE_KEY
from tests.tenants import make_tenant

PROCESSOR = "/functions/v1/queue-processor"
KEY = {"x-internal-key": QUEUE_KEY}
FIELDS = {
    *("id", "visit_id", "job_type", "status", "attempts", "max_attempts", "position", "run_at", "created_at"),
    *("started_at", "finished_at", "last_error", "error_code", "result", "cancel_requested", "stalled", "message"),
    "correlation_id",
}


async def _ask(client: httpx.AsyncClient, bench: Bench, visit: UUID, **headers: str) -> httpx.Response:
    return await client.post(f"/v1/visits/{visit}/estimate", headers={**bench.tenant.headers, **headers}, json={})


async def test_asking_for_an_estimate_queues_a_job(client: httpx.AsyncClient, bench: Bench) -> None:
    """202 with the job and where to read it; the request's correlation id goes with it."""
    visit = await bench.visit()
    answer = await _ask(client, bench, visit, **{"x-correlation-id": "phone-7"})
    job = answer.json()
    assert answer.status_code == 202
    assert set(job) == FIELDS
    assert (job["status"], job["position"], job["max_attempts"]) == ("queued", 1, 3)
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    row = await bench.row(UUID(job["id"]))
    assert row is not None
    assert (row["correlation_id"], row["created_by"]) == ("phone-7", bench.tenant.user_id)
    read = await client.get(answer.headers["location"], headers=bench.tenant.headers)
    assert (read.status_code, read.json()["id"]) == (200, job["id"])


async def test_a_repeated_request_gives_the_same_job(client: httpx.AsyncClient, bench: Bench) -> None:
    """With the key it is the first job; without, a conflict that names it."""
    visit = await bench.visit()
    first = await _ask(client, bench, visit, **{"idempotency-key": "a"})
    again = await _ask(client, bench, visit, **{"idempotency-key": "a"})
    other = await _ask(client, bench, visit)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert (other.status_code, other.json()["job_id"]) == (409, first.json()["id"])


async def test_an_empty_visit_is_refused_with_what_to_do(client: httpx.AsyncClient, bench: Bench) -> None:
    """No notes, no media: nothing to estimate, and nothing queued."""
    visit = await bench.visit(notes="")
    answer = await _ask(client, bench, visit)
    assert answer.status_code == 422
    assert "add a photo" in answer.json()["detail"]
    assert await bench.admin.fetchval("SELECT count(*) FROM ai_jobs WHERE visit_id = $1", visit) == 0


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\there"])
async def test_an_unusable_key_is_refused(client: httpx.AsyncClient, bench: Bench, key: str) -> None:
    """A key is 1 to 200 printable characters."""
    answer = await _ask(client, bench, await bench.visit(), **{"idempotency-key": key})
    assert answer.status_code == 400


async def test_a_tenant_without_the_flag_is_refused(client: httpx.AsyncClient, bench: Bench) -> None:
    """Turning the flag off stops new estimates at once."""
    bench.tenant = await make_tenant(bench.admin, flags={"visits": {"enabled": True}})
    answer = await _ask(client, bench, await bench.visit())
    assert answer.status_code == 403


async def test_strangers_and_the_unknown_get_the_same_answer(
    client: httpx.AsyncClient, bench: Bench, other: Bench
) -> None:
    """404 for another tenant's visit and job, as for ones that never were."""
    visit, job_id = await bench.visit(), await bench.enqueue()
    headers = other.tenant.headers
    answers = [
        await client.post(f"/v1/visits/{visit}/estimate", headers=headers),
        await client.post(f"/v1/visits/{uuid4()}/estimate", headers=headers),
        await client.get(f"/v1/jobs/{job_id}", headers=headers),
        await client.get(f"/v1/jobs/{uuid4()}", headers=headers),
        await client.post(f"/v1/jobs/{job_id}/cancel", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5
    assert (await client.get("/v1/jobs/nonsense", headers=headers)).status_code == 400
    assert (await client.get(f"/v1/jobs/{job_id}")).status_code == 401


async def test_a_job_is_cancelled_over_http(client: httpx.AsyncClient, bench: Bench) -> None:
    """202 with what became of it."""
    job_id = await bench.enqueue()
    answer = await client.post(f"/v1/jobs/{job_id}/cancel", headers=bench.tenant.headers)
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-internal-key": ""}, {"x-internal-key": "wrong"}, {"authorization": f"Basic {QUEUE_KEY}"}],
)
async def test_the_trigger_needs_the_internal_key(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    """Without it there is a 401 and not a word about the queue."""
    answer = await client.post(PROCESSOR, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("headers", [KEY, {"authorization": f"Bearer {QUEUE_KEY}"}])
async def test_an_empty_queue_has_no_jobs_to_process(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    """The runbook's answer, with the key in either header."""
    answer = await client.post(PROCESSOR, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"message": "No jobs to process"})


async def test_the_trigger_tells_what_the_workers_made_of_the_batch(
    client: httpx.AsyncClient, bench: Bench, working: Working
) -> None:
    """Completed ones with their result, dead ones with their error, in the order of the queue."""
    good, bad = await bench.enqueue("echo"), await bench.enqueue("nonsense")
    async with working({"echo": echo}):
        answer = await client.post(PROCESSOR, headers=KEY)
    assert answer.json() == {
        "processed": 2,
        "results": [
            {"job_id": str(good), "status": "completed", "result": {"attempt": 1}},
            {"job_id": str(bad), "status": "failed", "error": "Unknown job type: nonsense"},
        ],
    }


async def test_the_trigger_takes_ten_at_a_time(client: httpx.AsyncClient, bench: Bench, working: Working) -> None:
    """Eleven are due; the batch is the runbook's ten."""
    for _ in range(11):
        await bench.enqueue("echo")
    async with working({"echo": echo}):
        answer = await client.post(PROCESSOR, headers=KEY)
    assert answer.json()["processed"] == 10


async def test_jobs_nobody_started_in_time_stay_queued_unspent(
    client: httpx.AsyncClient, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a worker the trigger answers at its deadline, and the job has lost nothing."""
    monkeypatch.setattr("gateway.visits.queue_trigger.MAX_PROCESSING_SECONDS", 0.3)
    job_id = await bench.enqueue()
    async with asyncio.timeout(5):
        answer = await client.post(PROCESSOR, headers=KEY)
    assert answer.json() == {"processed": 0, "results": []}
    row = await bench.row(job_id)
    assert row is not None
    assert (row["status"], row["attempts"]) == ("queued", 0)


async def test_the_trigger_reports_an_attempt_that_failed(
    client: httpx.AsyncClient, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that will be tried again is told with its error."""
    monkeypatch.setattr("gateway.visits.queue_trigger.MAX_PROCESSING_SECONDS", 1.0)
    job_id = await bench.enqueue()
    asking = asyncio.create_task(client.post(PROCESSOR, headers=KEY))
    await asyncio.wait([asking], timeout=0.2)
    (row,) = await bench.claim()
    async with bench.service.as_system() as conn:
        again = Failure("timeout", "engine_unavailable", timedelta(seconds=9))
        await jobs.fail(conn, Lease(job_id, row["lease_token"]), again)
    results: list[dict[str, Any]] = (await asking).json()["results"]
    assert results == [{"job_id": str(job_id), "status": "queued", "error": "timeout"}]


async def test_a_fatal_error_is_told_without_its_text(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 with `error`, as the runbook's callers expect, and no exception text."""

    async def broken(*_: object) -> list[UUID]:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("store.queue.jobs.due_jobs", broken)
    answer = await client.post(PROCESSOR, headers=KEY)
    assert answer.status_code == 500
    assert "stay queued" in answer.json()["error"]
    assert "hunter2" not in answer.text
