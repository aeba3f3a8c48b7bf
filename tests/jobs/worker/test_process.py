"""The worker as a process of its own, doing a real estimate."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg

from store.queue.jobs import Lease
from tests.jobs.conftest import Bench
from tests.product import process
from tests.stack import Services

WORKER = ["jobs.worker"]
START_SECONDS = 60.0


async def _until(condition: Callable[[], object], seconds: float = START_SECONDS) -> None:
    """Ask until it is true: what another process does sends us no signal."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - another process sends no signal
            await asyncio.sleep(0.02)


async def test_a_worker_killed_at_the_last_moment_costs_an_attempt_and_nothing_else(
    bench: Bench, services: Services, tmp_path: Path
) -> None:
    """A kill -9 between the first and the last statement of the completion; the next worker makes the one estimate."""
    environment = services.environment(FUNCTION_NAME="worker", WORKER_CONCURRENCY="1")
    visit = await bench.visit(notes="Install 3 GFCI outlets in the kitchen.")
    blocker = await asyncpg.connect(services.admin_url)
    block = blocker.transaction()
    await block.start()
    await blocker.execute("LOCK TABLE estimates IN SHARE MODE")  # reading goes on, inserting waits
    job_id = await bench.enqueue(visit=visit)

    with process("victim", WORKER, environment, tmp_path) as victim:
        async with asyncio.timeout(START_SECONDS):
            while not await bench.admin.fetchval(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'estimates'::regclass AND NOT granted)"
            ):
                assert victim.poll() is None, (tmp_path / "victim.log").read_text()
                await asyncio.sleep(0.02)
        victim.kill()
    await block.rollback()
    await blocker.close()
    assert (await bench.status(job_id))["status"] == "running"

    row = await bench.row(job_id)
    assert row is not None
    async with asyncio.timeout(START_SECONDS):
        while not (await bench.sweep())["requeued"]:  # its backend may hold the row for a moment yet
            await bench.expire(Lease(job_id, row["lease_token"]))
    await bench.due(job_id)
    with process("heir", WORKER, environment, tmp_path) as heir:
        await bench.until(job_id, "job.completed", "job.failed", seconds=START_SECONDS)
        heir.terminate()
        await _until(lambda: heir.poll() is not None, 15)
    assert heir.returncode == 0
    status = await bench.status(job_id)
    assert (status["status"], status["attempts"]) == ("completed", 2)
    events = await bench.events(job_id)
    assert events.count("job.completed") == 1
    assert events.count("job.started") == 2
    versions = await bench.admin.fetch("SELECT version FROM estimates WHERE job_id = $1", job_id)
    assert [version["version"] for version in versions] == [1]


async def test_a_worker_says_what_its_environment_lacks(services: Services, tmp_path: Path) -> None:
    """Without DATABASE_URL it ends at once, and names it."""
    environment = services.environment()
    del environment["DATABASE_URL"]
    with process("lost", WORKER, environment, tmp_path) as lost:
        await _until(lambda: lost.poll() is not None)
    assert lost.returncode == 1
    log = (tmp_path / "lost.log").read_text()
    assert "DATABASE_URL is not set" in log
    assert "Traceback" not in log
