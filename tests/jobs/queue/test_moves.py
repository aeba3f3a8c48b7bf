"""Every move from every state, on the real functions of the database, against the table in `jobs.queue.states`."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import product
from uuid import uuid4

import pytest

from jobs.queue.states import TABLE, Move, State
from store.errors import NotFound
from store.queue import dead_letters, jobs
from store.queue.jobs import Failure, Lease
from tests.jobs.conftest import Bench

NOW = timedelta(0)
DEAD = Failure("dead", "x", None)

Act = Callable[[Bench, Lease], Awaitable[None]]


async def _claim(bench: Bench, _lease: Lease) -> None:
    await bench.claim(10)


async def _complete(bench: Bench, lease: Lease) -> None:
    async with bench.service.as_system() as conn:
        await jobs.complete(conn, lease, {}, None)


def _fail(failure: Failure) -> Act:
    async def act(bench: Bench, lease: Lease) -> None:
        async with bench.service.as_system() as conn:
            await jobs.fail(conn, lease, failure)

    return act


async def _release(bench: Bench, lease: Lease) -> None:
    async with bench.service.as_system() as conn:
        await jobs.release(conn, lease)


async def _lose(bench: Bench, lease: Lease) -> None:
    await bench.admin.execute(
        "UPDATE ai_jobs SET lease_expires_at = now() - interval '1 s' WHERE id = $1 AND status = 'running'",
        lease.job_id,
    )
    await bench.sweep()


async def _dead_letter(bench: Bench, lease: Lease) -> None:
    await bench.admin.execute("UPDATE ai_jobs SET attempts = 3 WHERE id = $1", lease.job_id)
    await bench.admin.execute("SELECT move_to_dlq($1, 'dead')", lease.job_id)


async def _cancel(bench: Bench, lease: Lease) -> None:
    await bench.cancel(lease.job_id)
    async with bench.service.as_system() as conn:
        await jobs.finish_cancelled(conn, lease)


async def _redrive(bench: Bench, lease: Lease) -> None:
    letters = await bench.dead(lease.job_id)
    async with bench.service.as_system() as conn:
        try:
            await dead_letters.retry(conn, letters[0]["id"] if letters else uuid4(), "")
        except NotFound:
            assert not letters


ACTS: dict[Move, Act] = {
    Move.CLAIM: _claim,
    Move.COMPLETE: _complete,
    Move.RETRY: _fail(Failure("again", "x", NOW)),
    Move.SNOOZE: _fail(Failure("later", "x", NOW, refund=True)),
    Move.RELEASE: _release,
    Move.LOSE: _lose,
    Move.DEAD_LETTER: _dead_letter,
    Move.CANCEL: _cancel,
    Move.REDRIVE: _redrive,
}
# From running, which a new job reaches first; so a queued one here has a stale lease to be tried against it.
WAYS: dict[State, Act] = {
    State.QUEUED: _release,
    State.COMPLETED: _complete,
    State.FAILED: _fail(DEAD),
    State.CANCELLED: _cancel,
}


@pytest.mark.parametrize(("state", "move"), [*product(State, Move)], ids=str)
async def test_the_database_makes_the_moves_of_the_table_and_no_other(bench: Bench, state: State, move: Move) -> None:
    """A legal move leads where the table says; any other leaves the job where it is."""
    lease = await bench.running()
    if state in WAYS:
        await WAYS[state](bench, lease)
    assert (await bench.status(lease.job_id))["status"] == state
    told = len(await bench.events(lease.job_id))
    await ACTS[move](bench, lease)
    assert (await bench.status(lease.job_id))["status"] == TABLE.get((state, move), state)
    assert (len(await bench.events(lease.job_id)) > told) == ((state, move) in TABLE)
