"""Claiming: who gets which job, and when."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from store.pool import Database
from store.queue import jobs
from tests.jobs.conftest import MINUTE, Bench
from tests.stack import Services

if TYPE_CHECKING:
    from uuid import UUID


async def test_parallel_claimers_never_share_a_job(bench: Bench, services: Services) -> None:
    """Eight sessions empty a queue of sixty; each job is claimed once."""
    made = [await bench.enqueue() for _ in range(60)]
    taken: list[UUID] = []

    async def claimer(name: str, db: Database) -> None:
        while True:
            async with db.as_system() as conn:
                rows = await jobs.claim(conn, 3, name, MINUTE)
            if not rows:
                return
            taken.extend(row["id"] for row in rows)

    db = await Database.open(services.worker_url, name="claimers", size=8, role="service_role")
    try:
        await asyncio.gather(*(claimer(f"w{number}", db) for number in range(8)))
    finally:
        await db.close()
    assert Counter(taken) == Counter(made)


async def test_a_claim_leases_counts_and_tells(bench: Bench) -> None:
    """The row gets a token, an expiry, a worker and one attempt; the subscribers get job.started."""
    lease = await bench.running()
    row = await bench.row(lease.job_id)
    assert row is not None
    assert (row["status"], row["attempts"], row["worker"]) == ("running", 1, "bench")
    assert row["lease_expires_at"] - row["started_at"] == MINUTE
    assert await bench.events(lease.job_id) == ["job.queued", "job.started"]
    told = await bench.payload(lease.job_id, "job.started")
    assert told == {"attempt": 1, "worker": "bench", "correlation_id": str(lease.job_id)}


async def test_no_more_is_claimed_than_asked_for(bench: Bench) -> None:
    """A worker with two free slots gets two jobs; one with none gets none."""
    for _ in range(5):
        await bench.enqueue()
    assert len(await bench.claim(2)) == 2
    assert len(await bench.claim(0)) == 0
    assert len(await bench.claim(10)) == 3


async def test_a_job_is_not_claimed_before_its_time(bench: Bench) -> None:
    """run_at in the future means not yet."""
    job_id = await bench.enqueue()
    await bench.admin.execute("UPDATE ai_jobs SET run_at = now() + interval '1 min' WHERE id = $1", job_id)
    assert await bench.claim() == []
    await bench.due(job_id)
    assert [row["id"] for row in await bench.claim()] == [job_id]


async def test_a_paused_type_rests_until_it_is_resumed(bench: Bench) -> None:
    """queue_control stops claims of one type; a pause that is over counts for nothing."""
    paused, free = await bench.enqueue("estimate"), await bench.enqueue("other")
    await bench.admin.execute("INSERT INTO queue_control (name, paused) VALUES ('estimate', true)")
    assert [row["id"] for row in await bench.claim(10)] == [free]
    await bench.admin.execute("UPDATE queue_control SET until = now() - interval '1 s'")
    assert [row["id"] for row in await bench.claim(10)] == [paused]


async def test_priority_comes_before_age(bench: Bench) -> None:
    """An urgent job overtakes."""
    await bench.enqueue()
    urgent = await bench.enqueue()
    await bench.admin.execute("UPDATE ai_jobs SET priority = 5 WHERE id = $1", urgent)
    assert (await bench.claim())[0]["id"] == urgent


async def test_a_crowded_tenant_does_not_hold_up_another(bench: Bench, other: Bench) -> None:
    """Twenty jobs of one tenant stand one behind the other; the first of another stands beside the front."""
    crowd = [await bench.enqueue() for _ in range(20)]
    single = await other.enqueue()
    assert [row["id"] for row in await bench.claim(2)] == [crowd[0], single]


async def test_two_crowded_tenants_take_turns(bench: Bench, other: Bench) -> None:
    """The later crowd is served alternately with the earlier one, not after it."""
    for _ in range(6):
        await bench.enqueue()
    for _ in range(6):
        await other.enqueue()
    served = [row["tenant_id"] for row in await bench.claim(6)]
    assert Counter(served) == {bench.tenant.id: 3, other.tenant.id: 3}


async def test_equal_jobs_are_served_by_age(bench: Bench) -> None:
    """One tenant's jobs run in the order in which they were queued."""
    made = [await bench.enqueue() for _ in range(5)]
    assert [row["id"] for row in await bench.claim(5)] == made


async def test_a_position_is_told_in_plain_words(bench: Bench, other: Bench) -> None:
    """The next in line is 1; who waits behind two is third, also when they are another tenant's."""
    first, second = await bench.enqueue(), await other.enqueue()
    third = await bench.enqueue()
    statuses = [await bench.status(first), await other.status(second), await bench.status(third)]
    assert [status["position"] for status in statuses] == [1, 2, 3]
    assert [status["message"] for status in statuses] == [
        "Next in line.",
        "In line behind 1 other.",
        "In line behind 2 others.",
    ]
    await bench.claim()
    assert (await bench.status(third))["position"] == 2
    assert (await bench.status(first))["message"] == "Working on it."
