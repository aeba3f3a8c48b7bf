"""What operators do: each deed is done, and written down with who and why in the same transaction."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from config.flags import Flag, is_on
from store.queue import dead_letters
from tests.gateway.ops.letters import CAUSE, bury
from tests.tenants import Tenant

ESTIMATION = Flag.ESTIMATION.value


@pytest.fixture(autouse=True)
async def as_it_was(admin: Any) -> AsyncIterator[None]:
    """Leave nothing paused, killed or dead."""
    yield
    for table in ("flag_kills", "queue_control", "ai_jobs_dlq", "ai_jobs"):
        await admin.execute(f"DELETE FROM {table}")


async def _actions(admin: Any, operator: Tenant) -> list[tuple[str, str, str]]:
    rows = await admin.fetch(
        "SELECT action, target, reason FROM ops_audit WHERE actor = $1 ORDER BY at", f"user {operator.user_id}"
    )
    return [tuple(row) for row in rows]


async def test_one_dead_job_is_retried_once(
    client: httpx.AsyncClient, admin: Any, tenant: Tenant, operator: Tenant
) -> None:
    """It waits again under its own id; a second click changes nothing."""
    letter, job_id = await bury(admin, tenant)
    for _ in range(2):
        answer = await client.post(
            f"/ops/dead/{letter}/retry", headers=operator.headers, json={"reason": "the model is back"}
        )
        assert answer.json() == {"job_id": str(job_id)}
    assert await admin.fetchval("SELECT count(*) FROM ai_jobs WHERE id = $1", job_id) == 1
    assert await _actions(admin, operator) == [("dlq.retry", str(letter), "the model is back")]


@pytest.mark.parametrize("action", ["retry", "discard"])
async def test_eight_at_once_about_one_letter_are_one(
    client: httpx.AsyncClient, admin: Any, tenant: Tenant, operator: Tenant, action: str
) -> None:
    """All are told the same job; one acts, and one row is in the audit log."""
    letter, job_id = await bury(admin, tenant)
    answers = await asyncio.gather(
        *(client.post(f"/ops/dead/{letter}/{action}", headers=operator.headers, json={}) for _ in range(8))
    )
    assert [answer.json() for answer in answers] == [{"job_id": str(job_id)}] * 8
    assert await _actions(admin, operator) == [(f"dlq.{action}", str(letter), "")]


async def test_a_cause_is_retried_or_discarded_whole(
    client: httpx.AsyncClient, admin: Any, tenant: Tenant, operator: Tenant
) -> None:
    """Numbers and ids in the error do not split it; other causes stay."""
    for number in (3, 17):
        await bury(admin, tenant, error=f"The model did not answer within {number} s.")
    other, _ = await bury(admin, tenant, code="bad_input", error="No photo can be opened.")
    words = "The model did not answer within # s."
    cause = {"job_type": "estimate", "error_code": "engine_unavailable", "cause": words}
    answer = await client.post("/ops/dead/retry", headers=operator.headers, json=cause)
    assert answer.json() == {"done": 2, "kept": 0, "next": None}
    assert await admin.fetchval("SELECT count(*) FROM ai_jobs WHERE tenant_id = $1", tenant.id) == 2
    rest = {"job_type": "estimate", "error_code": "bad_input", "cause": "No photo can be opened."}
    answer = await client.post("/ops/dead/discard", headers=operator.headers, json=rest)
    assert answer.json() == {"done": 1, "kept": 0, "next": None}
    assert await admin.fetchval("SELECT discarded_at IS NOT NULL FROM ai_jobs_dlq WHERE id = $1", other)
    gone = await client.post(f"/ops/dead/{other}/retry", headers=operator.headers, json={})
    assert gone.status_code == 404


async def test_more_than_a_batch_is_done_batch_by_batch(
    client: httpx.AsyncClient, admin: Any, tenant: Tenant, operator: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each begins after the one before, so that letters that cannot be retried hold none back."""
    monkeypatch.setattr(dead_letters, "BATCH", 2)
    letters = [(await bury(admin, tenant, code="batches"))[0] for _ in range(5)]
    busy = await admin.fetch("SELECT visit_id FROM ai_jobs_dlq WHERE id = ANY ($1)", letters[:2])
    await admin.executemany(
        "INSERT INTO ai_jobs (tenant_id, visit_id, job_type) VALUES ($1, $2, 'estimate')",
        [(tenant.id, row["visit_id"]) for row in busy],
    )
    told: list[tuple[int, int]] = []
    after = None
    while not told or after is not None:
        cause = {"job_type": "estimate", "error_code": "batches", "cause": CAUSE.replace("120", "#"), "after": after}
        answer = (await client.post("/ops/dead/retry", headers=operator.headers, json=cause)).json()
        told.append((answer["done"], answer["kept"]))
        after = answer["next"]
    assert told == [(0, 2), (2, 0), (1, 0)]


async def test_a_discarded_job_stays_failed_to_its_tenant(
    client: httpx.AsyncClient, admin: Any, tenant: Tenant, operator: Tenant
) -> None:
    """It does not vanish from the tenant's own view."""
    letter, job_id = await bury(admin, tenant)
    await client.post(f"/ops/dead/{letter}/discard", headers=operator.headers, json={})
    job = await client.get(f"/v1/jobs/{job_id}", headers=tenant.headers)
    assert (job.status_code, job.json()["status"]) == (200, "failed")


async def test_the_queue_is_paused_and_resumed(client: httpx.AsyncClient, admin: Any, operator: Tenant) -> None:
    """Both are written down."""
    paused = await client.post("/ops/queue/pause", headers=operator.headers, json={"name": "all", "reason": "rollback"})
    assert paused.json() == {"paused": "all"}
    assert await admin.fetchval("SELECT reason FROM queue_control WHERE name = 'all'") == "rollback"
    resumed = await client.post("/ops/queue/resume", headers=operator.headers, json={"name": "all"})
    assert resumed.json() == {"resumed": "all", "was_paused": True}
    assert await _actions(admin, operator) == [("queue.pause", "all", "rollback"), ("queue.resume", "all", "")]


async def test_a_flag_is_switched_killed_and_restored(
    client: httpx.AsyncClient, admin: Any, tenant: Tenant, operator: Tenant
) -> None:
    """The next request of the tenant already sees it."""

    async def ask(path: str, **body: Any) -> Any:
        answer = await client.post(f"/ops/flags/{path}", headers=operator.headers, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert (await client.get("/v1/visits", headers=tenant.headers)).status_code == 200
    off = {"tenant_id": str(tenant.id), "flag": Flag.VISITS.value, "on": False, "reason": "unpaid"}
    assert await ask("set", **off) == {"now": False}
    assert (await client.get("/v1/visits", headers=tenant.headers)).status_code == 404
    killed = await ask("kill", flag=ESTIMATION)
    flags = await admin.fetchval("SELECT feature_flags FROM tenant_settings WHERE tenant_id = $1", tenant.id)
    assert not is_on(flags, Flag.ESTIMATION)
    assert await ask("restore", flag=ESTIMATION) == killed
    actions = [action for action, _, _ in await _actions(admin, operator)]
    assert actions == ["flag.set", "flag.kill", "flag.restore"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("flags/set", {"tenant_id": "00000000-0000-4000-8000-000000000000", "flag": ESTIMATION, "on": True}, 404),
        ("flags/set", {"tenant_id": "x", "flag": ESTIMATION, "on": True}, 422),
        ("flags/kill", {"flag": "visits.enable"}, 422),
        ("flags/restore", {"flag": ESTIMATION}, 409),
        ("queue/pause", {"name": "Robert'); DROP TABLE"}, 422),
        ("dead/00000000-0000-4000-8000-000000000000/retry", {}, 404),
        ("dead/not-an-id/retry", {}, 400),
        ("dead/retry", {}, 422),
    ],
)
async def test_a_deed_that_cannot_be_done_leaves_nothing_behind(
    client: httpx.AsyncClient, admin: Any, operator: Tenant, path: str, body: dict[str, Any], status: int
) -> None:
    """Said in a problem document; not written down as done."""
    answer = await client.post(f"/ops/{path}", headers=operator.headers, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert await _actions(admin, operator) == []


async def test_what_was_done_cannot_be_mended(admin: Any, service: Any, operator: Tenant) -> None:
    """Not even by service_role: the record is read and added to."""
    async with service.connection() as conn:
        rights = await conn.fetchrow(
            "SELECT has_table_privilege('service_role', 'ops_audit', 'INSERT') AS add, "
            "has_table_privilege('service_role', 'ops_audit', 'UPDATE, DELETE, TRUNCATE') AS mend"
        )
    assert tuple(rights) == (True, False)
