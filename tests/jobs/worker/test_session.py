"""A worker's leases hang on its database session: gone with it, and kept over a restart of either side's connection."""

import asyncio
from uuid import UUID

import asyncpg

from store.queue import jobs
from tests.jobs.conftest import Bench
from tests.stack import Services


async def _hold(services: Services, worker: str) -> "asyncpg.Connection[asyncpg.Record]":
    connection = await asyncpg.connect(services.worker_url, server_settings={"role": "service_role"})
    assert await jobs.hold_session(connection, worker)
    return connection


async def _claimed_by(bench: Bench, worker: str) -> UUID:
    job = await bench.enqueue()
    await bench.claim()
    await bench.admin.execute("UPDATE jobs SET worker = $2 WHERE id = $1", job, worker)
    return job


async def _look(bench: Bench) -> int:
    async with bench.service.as_system() as conn:
        return await jobs.expire_sessions(conn)


async def _age_looks(bench: Bench) -> None:
    await bench.admin.execute(
        "UPDATE worker_sessions SET missing_since = missing_since - interval '2 s', "
        "looked_at = looked_at - interval '1 s'"
    )


async def test_the_leases_of_a_worker_whose_session_is_gone_are_freed(bench: Bench, services: Services) -> None:
    """Not at the first look, which may fall between two connections; at the next one."""
    connection = await _hold(services, "dead")
    job, other = await _claimed_by(bench, "dead"), await _claimed_by(bench, "without a session")
    assert await _look(bench) == 0
    await connection.close()
    async with asyncio.timeout(10):
        while await bench.admin.fetchval("SELECT missing_since FROM worker_sessions WHERE worker = 'dead'") is None:
            assert await _look(bench) == 0
    await _age_looks(bench)
    assert await _look(bench) == 1
    assert (await bench.sweep())["requeued"] == 1
    rows = [await bench.row(each) for each in (job, other)]
    assert [row and row["status"] for row in rows] == ["queued", "running"]


async def test_a_worker_that_connects_again_keeps_its_jobs(bench: Bench, services: Services) -> None:
    """Its session was missing for a moment; then looks begin anew."""
    connection = await _hold(services, "blinking")
    await _claimed_by(bench, "blinking")
    await connection.close()
    async with asyncio.timeout(10):
        while await bench.admin.fetchval("SELECT missing_since FROM worker_sessions WHERE worker = 'blinking'") is None:
            await _look(bench)
    connection = await _hold(services, "blinking")
    await _age_looks(bench)
    assert await _look(bench) == 0
    await connection.close()
    assert await _look(bench) == 0


async def test_a_worker_has_one_session(bench: Bench, services: Services) -> None:
    """While an earlier one of its has not ended, another is not taken for it."""
    connection = await _hold(services, "one")
    async with bench.service.as_system() as conn:
        assert not await jobs.hold_session(conn, "one")
    await connection.close()
