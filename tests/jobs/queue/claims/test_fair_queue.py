"""The line: who stands in it, in which order, and from where a claim looks."""

from uuid import UUID

from store.queue import jobs
from tests.jobs.conftest import MINUTE, Bench

MANY = """
WITH visits AS (INSERT INTO site_visits (tenant_id) SELECT $1 FROM generate_series(1, $2) RETURNING id)
INSERT INTO ai_jobs (tenant_id, visit_id, job_type, run_at) SELECT $1, id, 'many', now() + $3 FROM visits
"""


async def _turns(bench: Bench) -> list[int | None]:
    rows = await bench.admin.fetch(
        "SELECT turn FROM ai_jobs WHERE tenant_id = $1 AND status = 'queued' ORDER BY turn", bench.tenant.id
    )
    return [row["turn"] for row in rows]


async def _quick(bench: Bench, limit: int = 10) -> list[UUID]:
    async with bench.service.connection() as conn:
        return [row["id"] for row in await jobs.claim(conn, limit, "bench", MINUTE, everywhere=False)]


async def _serve(bench: Bench, turn: int) -> int:
    """Let the front have gone on by so many turns."""
    front: int = await bench.admin.fetchval(
        "SELECT setval('scopekit.turn_served', (SELECT last_value + $1 FROM scopekit.turn_served))", turn
    )
    return front


async def test_one_statement_queues_many_behind_one_another(bench: Bench, other: Bench) -> None:
    """Three hundred jobs in one INSERT take three hundred turns; another tenant's first stands beside their first."""
    await bench.admin.execute(MANY, bench.tenant.id, 300, MINUTE * 0)
    turns = await _turns(bench)
    assert turns == list(range(turns[0] or 0, (turns[0] or 0) + 300))
    await other.enqueue()
    assert await _turns(other) == turns[:1]
    told = await bench.admin.fetchval(
        "SELECT count(*) FROM processing_events WHERE tenant_id = $1 AND type = 'job.queued'", bench.tenant.id
    )
    assert told == 300


async def test_a_job_for_later_is_not_in_line_until_its_time(bench: Bench) -> None:
    """It has no turn to be stepped over; when due it is claimed as any other, and twenty of them one by one."""
    await bench.admin.execute(MANY, bench.tenant.id, 20, MINUTE)
    assert await _turns(bench) == [None] * 20
    assert await bench.claim(10) == []
    await bench.admin.execute("UPDATE ai_jobs SET run_at = now()")
    assert len(await bench.claim(5)) == 5
    left = await _turns(bench)
    assert len(set(left)) == 15
    assert None not in left


async def test_a_retry_waits_outside_and_comes_back(bench: Bench) -> None:
    """Its backoff is spent outside the line; a hand-back stands at the front at once."""
    later, back = await bench.running(), await bench.running()
    async with bench.service.as_system() as conn:
        await jobs.fail(conn, later, jobs.Failure("busy", "engine_unavailable", MINUTE))
        await jobs.release(conn, back)
    assert await _quick(bench) == [back.job_id]
    await bench.due(later.job_id)
    assert await _quick(bench) == [later.job_id]


async def test_what_a_quick_look_missed_a_thorough_one_finds(bench: Bench) -> None:
    """A job whose INSERT was open while a hundred turns were served lies behind the front, and is not lost there."""
    job_id = await bench.enqueue()
    await _serve(bench, 100)
    assert await _quick(bench) == []
    assert [row["id"] for row in await bench.claim()] == [job_id]


async def test_a_new_job_is_always_within_a_quick_look(bench: Bench) -> None:
    """Each takes its turn at the front or behind it, however far that has gone on."""
    for _ in range(3):
        await _serve(bench, 1000)
        job_id = await bench.enqueue()
        assert await _quick(bench) == [job_id]


async def test_the_front_goes_on_as_jobs_are_served(bench: Bench) -> None:
    """Every claim that empties the line moves it, so that dead entries before it are never looked at again."""
    fronts = []
    for _ in range(4):
        await bench.enqueue()
        await _quick(bench)
        fronts.append(await bench.admin.fetchval("SELECT last_value FROM scopekit.turn_served"))
    assert fronts == list(range(fronts[0], fronts[0] + 4))


async def test_an_urgent_job_is_within_a_quick_look_too(bench: Bench) -> None:
    """The front is that of ordinary jobs; urgent ones come first and unhurried ones last, wherever it stands."""
    made = {}
    for priority in (-3, 0, 4):
        made[priority] = await bench.enqueue()
        await bench.admin.execute("UPDATE ai_jobs SET priority = $2, turn = 0 WHERE id = $1", made[priority], priority)
    await bench.admin.execute("UPDATE ai_jobs SET turn = $2 WHERE id = $1", made[0], await _serve(bench, 500))
    assert await _quick(bench) == [made[4], made[0], made[-3]]
