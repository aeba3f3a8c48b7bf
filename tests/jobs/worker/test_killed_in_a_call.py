"""A worker killed in the middle of a paid call: the next one goes on there, and only that call is paid for twice."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from store.objects.objects import ObjectStore
from store.queue.jobs import Lease
from tests.jobs.conftest import Bench
from tests.jobs.kinds.estimate.engines.api_double import ApiDouble, api_double, completed
from tests.jobs.kinds.estimate.engines.test_openai import SOUND, asked_line, jpeg
from tests.product import process
from tests.stack import Services

WORKER = ["jobs.worker"]
DEADLINE_SECONDS = 60.0
CALLS = ["/v1/audio/transcriptions", "/v1/responses", "/v1/responses", "/v1/responses"]


@pytest.mark.parametrize("killed_in", [1, 2, 3, 4])
async def test_a_worker_killed_in_a_call_repays_that_call_alone(
    bench: Bench, services: Services, objects: ObjectStore, tmp_path: Path, killed_in: int
) -> None:
    """A recording, two photos and the draft are four calls; killed in any of them there are five, and one estimate."""
    await objects.ensure_bucket()
    visit = await bench.visit()
    for kind in ("audio", "photo", "photo"):
        await add_medium(bench, objects, visit, kind)
    with api_double() as api:
        api.hangs_at = killed_in
        answer(api)
        environment = services.environment(
            FUNCTION_NAME="worker", WORKER_CONCURRENCY="1", ESTIMATE_ENGINE="openai", OPENAI_API_KEY="sk-none",
            OPENAI_BASE_URL=api.url,
        )  # fmt: skip
        job_id = await bench.enqueue(visit=visit)
        with process("victim", WORKER, environment, tmp_path) as victim:
            assert await asyncio.to_thread(api.reached.wait, DEADLINE_SECONDS), (tmp_path / "victim.log").read_text()
            victim.kill()
        await free(bench, job_id)
        with process("heir", WORKER, environment, tmp_path):
            await bench.until(job_id, "job.completed", "job.failed", seconds=DEADLINE_SECONDS)
        paths = [asked["path"] for asked in api.asked]
    assert paths == [*CALLS[:killed_in], *CALLS[killed_in - 1 :]]
    versions = await bench.admin.fetch("SELECT version, usage FROM estimates WHERE job_id = $1", job_id)
    assert [(row["version"], len(row["usage"]["calls"])) for row in versions] == [(1, 4)]


def answer(api: ApiDouble) -> None:
    """Hear, see and draft one line."""
    api.answers({"text": "Replace three outlets.", "duration": 4.0})
    line = asked_line(evidence=[])
    api.answers_by_schema = {
        "LookAnswer": completed({"sights": [], "text_read": []}),
        "DraftAnswer": completed({"lines": [line], "summary": "One line.", "coverage": []}),
    }


async def free(bench: Bench, job_id: object) -> None:
    """Let the dead worker's lease run out."""
    row = await bench.row(job_id)  # type: ignore[arg-type]
    assert row is not None
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not (await bench.sweep())["requeued"]:  # its backend may hold the row for a moment yet
            await bench.expire(Lease(row["id"], row["lease_token"]))
    await bench.due(row["id"])


async def add_medium(bench: Bench, objects: ObjectStore, visit: object, kind: str) -> None:
    """Store a photo, or a short recording."""
    tenant = await bench.admin.fetchval("SELECT tenant_id FROM site_visits WHERE id = $1", visit)
    media_id, content_type = uuid4(), "image/jpeg" if kind == "photo" else "audio/webm"
    path = f"{tenant}/{visit}/{media_id}/{uuid4().hex[:12]}"
    await objects.put(path, jpeg() if kind == "photo" else SOUND, content_type=content_type)
    await bench.admin.execute(
        "INSERT INTO site_visit_media (id, tenant_id, visit_id, media_type, content_type, storage_path, file_size, "
        "sha256) VALUES ($1, $2, $3, $4, $5, $6, 1, repeat('0', 64))",
        *(media_id, tenant, visit, kind, content_type, path),
    )
