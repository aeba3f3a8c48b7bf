"""A cancel, from the browser's request to the model call that ends, through the product's own processes."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from config.settings import Settings
from store.objects.objects import ObjectStore
from tests.jobs.conftest import Bench
from tests.jobs.kinds.estimate.engines.api_double import api_double
from tests.jobs.kinds.estimate.engines.test_openai import draft_answer
from tests.product import Product, start_product
from tests.stack import Services
from tests.support.material import SPOKEN, need_speech, voice_note

# Below the 15 s between two renewals, by which a cancel would also come in the end.
CANCEL_SECONDS = 10.0
START_SECONDS = 60.0
# More than the helper needs to start; its work takes several times that.
WORK_SECONDS = 2.0

# All that a job can leave, its own visit's other rows included.
LEFT = {
    "ai_jobs": "id = $1",
    "ai_jobs_dlq": "original_job_id = $1",
    "job_steps": "job_id = $1",
    "processing_events": "visit_id = (SELECT visit_id FROM ai_jobs WHERE id = $1)",
    "estimates": "visit_id = (SELECT visit_id FROM ai_jobs WHERE id = $1)",
    "transcripts": "visit_id = (SELECT visit_id FROM ai_jobs WHERE id = $1)",
}


async def _left(bench: Bench, job_id: UUID) -> dict[str, list[Any]]:
    """Read everything the job could have written."""
    return {
        table: await bench.admin.fetch(f"SELECT * FROM {table} AS t WHERE {where} ORDER BY t::text", job_id)
        for table, where in LEFT.items()
    }


async def _analytics(bench: Bench) -> int:
    """Count what the tenant's jobs told: one of them completed."""
    told: int = await bench.admin.fetchval(
        "SELECT count(*) FROM analytics_events WHERE tenant_id = $1", bench.tenant.id
    )
    return told


@pytest.fixture
async def browser(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    """Speak HTTP as the tenant's user."""
    async with httpx.AsyncClient(headers=bench.tenant.headers, timeout=START_SECONDS) as client:
        yield client


async def _ask(browser: httpx.AsyncClient, product: Product, visit: UUID) -> UUID:
    answer = await browser.post(f"{product.url}/v1/visits/{visit}/estimate")
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    return UUID(answer.json()["id"])


async def _cancel(browser: httpx.AsyncClient, product: Product, job_id: UUID) -> None:
    answer = await browser.post(f"{product.url}/v1/jobs/{job_id}/cancel")
    assert answer.json()["cancel_requested"]


async def _until(condition: Callable[[], object], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - threads and processes of others send no signal
            await asyncio.sleep(0.02)


async def test_a_cancel_ends_the_call_to_the_provider_and_nothing_is_written_after(
    bench: Bench, browser: httpx.AsyncClient, services: Services, tmp_path: Path
) -> None:
    """The provider that hangs is hung up on; it may answer now and later jobs are done, nothing comes of it."""
    with api_double() as double:
        double.hangs = True
        double.answers(draft_answer())
        engine = {"ESTIMATE_ENGINE": "openai", "OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": double.url}
        with start_product(services, tmp_path, WORKER_CONCURRENCY="1", **engine) as product:
            job_id = await _ask(browser, product, await bench.visit())
            await _until(lambda: double.asked, START_SECONDS)
            await _cancel(browser, product, job_id)
            assert await asyncio.to_thread(double.left.wait, CANCEL_SECONDS)
            await bench.until(job_id, "job.cancelled")
            before = await _left(bench, job_id)
            double.hangs = False
            double.released.set()
            later = await _ask(browser, product, await bench.visit())
            assert await bench.until(later, "job.completed", "job.failed", seconds=START_SECONDS) == "job.completed"
    assert await _left(bench, job_id) == before
    assert (await bench.events(job_id))[-1] == "job.cancelled"
    assert await _analytics(bench) == 1


def _helpers(parent: int, worked_s: float = 0.0) -> list[int]:
    """Return the helper processes below this one that have had so much CPU: one opens files, one only waits for it."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                command = Path(f"/proc/{child}/cmdline").read_bytes()
                user, system = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:13]
                if b"model_process" in command and int(user) + int(system) >= worked_s * os.sysconf("SC_CLK_TCK"):
                    found.append(child)
                found += _helpers(child, worked_s)
    return found


async def test_a_cancel_ends_the_helper_that_hears_a_recording(
    bench: Bench, browser: httpx.AsyncClient, services: Services, settings: Settings, tmp_path: Path
) -> None:
    """Its process is gone long before it could have been done, and with it what it took of the CPU."""
    need_speech()
    async with ObjectStore.open(settings) as objects:
        await objects.ensure_bucket()
    note = voice_note(tmp_path / "note.webm", SPOKEN * 20)
    visit = await bench.visit(notes="")
    with start_product(services, tmp_path, WORKER_CONCURRENCY="1") as product:
        sent = await browser.post(
            f"{product.url}/v1/visits/{visit}/media",
            content=note.read_bytes(),
            headers={"content-type": "audio/webm;codecs=opus"},
        )
        assert sent.status_code == httpx.codes.CREATED, sent.text
        job_id = await _ask(browser, product, visit)
        await _until(lambda: _helpers(product.worker.pid, worked_s=WORK_SECONDS), START_SECONDS)
        await _cancel(browser, product, job_id)
        await _until(lambda: not _helpers(product.worker.pid), CANCEL_SECONDS)
        await bench.until(job_id, "job.cancelled")
        before = await _left(bench, job_id)
        later = await _ask(browser, product, await bench.visit(notes="Install 3 GFCI outlets."))
        await bench.until(later, "job.completed", seconds=START_SECONDS)
    assert await _left(bench, job_id) == before
    assert before["transcripts"] == []
