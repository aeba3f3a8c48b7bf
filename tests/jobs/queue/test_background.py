"""A job beside a visit's estimate: what the visit shows, and what outsiders' events mean, stays the estimate's."""

from uuid import UUID, uuid4

import httpx
import pytest

from tests.jobs.conftest import Bench

LEFT_OUT = """
INSERT INTO processing_events (visit_id, job_id, type) VALUES ($1, $2, $3) RETURNING ends_stream, background
"""
FINAL = ("job.completed", "job.failed", "job.cancelled")


async def _meaning(bench: Bench, visit: UUID, job: UUID | None, event_type: str) -> tuple[bool, bool]:
    row = await bench.admin.fetchrow(LEFT_OUT, visit, job, event_type)
    assert row is not None
    return row["ends_stream"], row["background"]


@pytest.mark.parametrize("event_type", FINAL)
async def test_a_final_event_means_what_its_job_is(bench: Bench, event_type: str) -> None:
    """An INSERT that leaves it out ends the stream for an estimate and for no known job, and for no other."""
    visit = await bench.visit()
    estimate, beside = await bench.enqueue(visit=visit), await bench.enqueue("noop", visit=visit)
    for job in (estimate, uuid4(), None):
        assert await _meaning(bench, visit, job, event_type) == (True, False)
    assert await _meaning(bench, visit, beside, event_type) == (False, True)


async def test_a_dead_job_is_what_it_was(bench: Bench) -> None:
    """Its row is gone; its letter tells."""
    visit = await bench.visit()
    beside = await bench.enqueue("noop", visit=visit)
    await bench.admin.execute("UPDATE ai_jobs SET attempts = 3 WHERE id = $1", beside)
    await bench.admin.execute("SELECT move_to_dlq($1, 'broken')", beside)
    assert await _meaning(bench, visit, beside, "job.failed") == (False, True)


async def test_other_events_end_nothing(bench: Bench) -> None:
    """Neither progress of the estimate nor an event of no job."""
    visit = await bench.visit()
    estimate = await bench.enqueue(visit=visit)
    assert await _meaning(bench, visit, estimate, "step.progress") == (False, False)
    assert await _meaning(bench, visit, None, "media.stored") == (False, False)


async def test_the_visit_shows_its_estimate(client: httpx.AsyncClient, bench: Bench) -> None:
    """A job that came later beside it is not the visit's job."""
    visit = await bench.visit()
    estimate = await bench.enqueue(visit=visit)
    await bench.enqueue("noop", visit=visit)
    shown = (await client.get(f"/v1/visits/{visit}", headers=bench.tenant.headers)).json()["job"]
    assert shown["id"] == str(estimate)
