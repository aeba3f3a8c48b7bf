"""Jobs for later, and jobs that go behind others."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from tests.jobs.conftest import Bench


def _in(**time: float) -> datetime:
    return datetime.now(UTC) + timedelta(**time)


async def test_a_job_for_later_waits_for_its_time(bench: Bench) -> None:
    """It stands in no line until then, says when it is, and is claimed when it is due."""
    at = _in(hours=9)
    later = await bench.enqueue(run_at=at)
    now = await bench.enqueue()
    assert [row["id"] for row in await bench.claim(10)] == [now]
    status = await bench.status(later)
    assert (status["status"], status["position"], status["run_at"]) == ("queued", None, at)
    assert status["message"] == f"Scheduled for {at:%d %B %Y, %H:%M} UTC, in 9 hours."
    assert datetime.fromisoformat((await bench.payload(later, "job.queued"))["run_at"]) == at
    await bench.due(later)
    assert [row["id"] for row in await bench.claim(10)] == [later]


async def test_a_time_that_has_passed_is_now(bench: Bench) -> None:
    """A phone's clock may be behind."""
    job_id = await bench.enqueue(run_at=_in(hours=-1))
    assert (await bench.status(job_id))["position"] == 1
    assert [row["id"] for row in await bench.claim(10)] == [job_id]


async def test_a_job_of_lower_priority_goes_behind_and_one_of_the_house_before(bench: Bench, other: Bench) -> None:
    """Of all tenants, whoever came first."""
    behind = await bench.enqueue(priority=-5)
    ordinary = await other.enqueue()
    async with bench.service.as_system() as conn:
        urgent, _ = await bench.queue.enqueue(
            conn, tenant_id=other.tenant.id, visit_id=await other.visit(), job_type="other", priority=5
        )
    assert [row["id"] for row in await bench.claim(10)] == [urgent["id"], ordinary, behind]


@pytest.mark.parametrize("column", [{"priority": 1}, {"run_at": _in(days=365)}])
async def test_no_tenant_jumps_the_line_whoever_writes_the_row(bench: Bench, column: dict[str, Any]) -> None:
    """The table refuses it, not only the route."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await bench.enqueue(**column)


async def test_an_estimate_is_asked_for_later_over_http(client: httpx.AsyncClient, bench: Bench) -> None:
    """202 with the time; asked again with the same key it is the same job."""
    at = _in(hours=2).replace(microsecond=0)
    visit, headers = await bench.visit(), {**bench.tenant.headers, "idempotency-key": "tonight"}
    for _ in range(2):
        answer = await client.post(
            f"/v1/visits/{visit}/estimate", headers=headers, json={"run_at": at.isoformat(), "priority": -3}
        )
        assert answer.status_code == 202
        assert datetime.fromisoformat(answer.json()["run_at"]) == at
        assert answer.json()["message"].startswith("Scheduled for ")
    assert await bench.admin.fetchval("SELECT array_agg(priority) FROM ai_jobs WHERE visit_id = $1", visit) == [-3]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"run_at": "2031-01-01T00:00:00"}, "run_at"),  # whose midnight?
        ({"run_at": _in(days=91).isoformat()}, "run_at"),
        ({"run_at": "0001-01-01T00:00:00+14:00"}, "run_at"),  # before the first moment there is in UTC
        ({"run_at": "soon"}, "run_at"),
        ({"priority": 1}, "priority"),
        ({"priority": -11}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"when": "now"}, "when"),
    ],
)
async def test_an_unusable_wish_is_refused_by_name(
    client: httpx.AsyncClient, bench: Bench, body: dict[str, Any], field: str
) -> None:
    """422 that names the field and says what would do; nothing is queued."""
    visit = await bench.visit()
    answer = await client.post(f"/v1/visits/{visit}/estimate", headers=bench.tenant.headers, json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert await bench.admin.fetchval("SELECT count(*) FROM ai_jobs WHERE visit_id = $1", visit) == 0
