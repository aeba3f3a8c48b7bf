"""What is done to a run, by kind. Each queues jobs of its own and returns in a word how it went."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TypeAlias

from redis.asyncio import Redis

from benchmarks.queue_faults.gate import Moment, Trap
from benchmarks.queue_faults.run import POLL_SECONDS, Run
from benchmarks.queue_faults.staff import Member
from benchmarks.queue_faults.worker import TIMING

REACH_SECONDS = 10.0
# The lease, a sweep, the backoff and a claim take 2.6 s.
HEIR_SECONDS = 4.0
ORDINARY = ("estimate", "flaky", "limited", "doomed")


@dataclass(frozen=True)
class Scale:
    """How much of the slow ones a run takes."""

    restarts: int
    away_s: float


Fault: TypeAlias = Callable[[Run, Random, Scale], Awaitable[str]]


async def some_jobs(run: Run, random: Random, *, at_least: str = "estimate") -> None:
    """Queue that one and some others, on the same few visits."""
    await run.enqueue(at_least, 0)
    for visit in range(1, len(run.visits)):
        for job_type in random.sample(ORDINARY, random.randint(0, 2)):
            await run.enqueue(job_type, visit)


# Points between claim and commit: the function of the database that is called there, and which job gets there.
POINTS: Mapping[str, str] = {
    "claim_ai_jobs": "estimate",
    "append_events": "estimate",
    "put_checkpoint": "estimate",
    "begin_completion": "estimate",
    "complete_job": "estimate",
    "fail_job": "flaky",
    "renew_leases": "long",
    "release_job": "long",
    "finish_cancelled": "long",
    "sweep": "estimate",
}


async def at_point(run: Run, random: Random, _scale: Scale, *, function: str) -> str:
    """Catch a worker at a point; there kill it, stop it past its lease or its heir's claim, or cut its connection."""
    moment, deed = random.choice(list(Moment)), random.choice((_kill, _freeze, _outlive, _cut))
    trap = Trap(function, moment)
    run.rig.staff.set_trap(trap)
    try:
        await some_jobs(run, random, at_least="long" if deed is _outlive else POINTS[function])
        await _lead_to(function, run)
        async with asyncio.timeout(REACH_SECONDS):
            caught = run.rig.staff.members[await asyncio.shield(trap.caught)]
        trap.decide(passes=await deed(run, caught))
    except TimeoutError:
        return f"{moment}: nobody came"
    finally:
        trap.decide(passes=True)
        run.rig.staff.set_trap(None)
    return f"{moment}: {deed.__name__.strip('_')}"


async def _lead_to(function: str, run: Run) -> None:
    if function not in ("release_job", "finish_cancelled"):
        return
    for job in await run.unfinished():
        if job["job_type"] != "long":
            continue
        member = run.rig.staff.of(await run.running(job["id"]))
        if function == "finish_cancelled":
            await run.cancel(job["id"])
        elif member is not None:
            member.signal(signal.SIGTERM)


async def _kill(_run: Run, member: Member) -> bool:
    pid = member.pid
    member.signal(signal.SIGKILL)
    await member.ended(pid)
    return False


async def _cut(_run: Run, _member: Member) -> bool:
    return False


async def _freeze(_run: Run, member: Member) -> bool:
    member.signal(signal.SIGSTOP)
    await asyncio.sleep(TIMING.lease_s + TIMING.sweep_s * 2)
    member.signal(signal.SIGCONT)
    return True


async def _outlive(run: Run, member: Member) -> bool:
    """Stop it until others run what it had; the row of a job that is being finished stays its own."""
    suffix = f"-{member.pid}"
    member.signal(signal.SIGSTOP)
    with suppress(TimeoutError):
        async with asyncio.timeout(HEIR_SECONDS):
            while any(str(job["worker"]).endswith(suffix) for job in await run.unfinished()):  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)  # another process sends no signal
    member.signal(signal.SIGCONT)
    return True


async def kill_anywhere(run: Run, random: Random, _scale: Scale) -> str:
    """Kill a worker with -9 wherever it is."""
    await some_jobs(run, random)
    await asyncio.sleep(random.uniform(0, 0.15))
    await _kill(run, random.choice(run.rig.staff.members))
    return ""


async def freeze_anywhere(run: Run, random: Random, _scale: Scale) -> str:
    """Stop a worker past its leases or its heirs' claims, then let it go on."""
    await some_jobs(run, random, at_least="long")
    await asyncio.sleep(random.uniform(0, 0.3))
    await random.choice((_freeze, _outlive))(run, random.choice(run.rig.staff.members))
    return ""


async def rolling_restart(run: Run, random: Random, scale: Scale) -> str:
    """Restart the workers in turn by SIGTERM, as a deployment does, while jobs come in."""
    for number in range(scale.restarts):
        await some_jobs(run, random, at_least=random.choice(("estimate", "long")))
        await asyncio.sleep(random.uniform(0, 0.2))
        member = run.rig.staff.members[number % len(run.rig.staff.members)]
        pid = member.pid
        member.signal(signal.SIGTERM)
        await member.ended(pid)
    return f"{scale.restarts} restarts"


async def redis_flushed(run: Run, random: Random, _scale: Scale) -> str:
    """Lose everything Redis knows."""
    await some_jobs(run, random)
    async with Redis.from_url(run.rig.services.redis_url) as redis:
        await redis.flushall()
    return ""


async def redis_killed(run: Run, random: Random, _scale: Scale) -> str:
    """Kill Redis with -9 and start it again at once."""
    await some_jobs(run, random)
    run.rig.valkey.end(signal.SIGKILL)
    await run.rig.valkey.start()
    return ""


async def redis_down(run: Run, random: Random, scale: Scale) -> str:
    """Leave Redis down for a while; jobs are done all the same."""
    run.rig.valkey.end(signal.SIGKILL)
    try:
        done = await _work_for(run, random, scale.away_s)
    finally:
        await run.rig.valkey.start()
    return f"{scale.away_s:.0f} s, {done} done meanwhile"


async def redis_silent(run: Run, random: Random, scale: Scale) -> str:
    """Let Redis take everything and answer nothing; jobs are done all the same."""
    run.rig.redis.black_hole()
    try:
        done = await _work_for(run, random, scale.away_s)
    finally:
        run.rig.redis.mend()
    return f"{scale.away_s:.0f} s, {done} done meanwhile"


async def _work_for(run: Run, random: Random, seconds: float) -> int:
    """Queue jobs for so long and see them all done."""
    until = asyncio.get_running_loop().time() + seconds
    while True:
        await some_jobs(run, random)
        await run.settled()
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            return len(run.accepted)
        await asyncio.sleep(min(left, random.uniform(0.2, 1.0)))


async def postgres_crashed(run: Run, random: Random, _scale: Scale) -> str:
    """Stop PostgreSQL in mode `immediate` and let it recover."""
    await some_jobs(run, random)
    await asyncio.sleep(random.uniform(0, 0.15))
    run.rig.postgres.end(signal.SIGQUIT)
    run.may_leap = run.rig.torn = True
    await asyncio.sleep(random.uniform(0, 0.3))
    await run.rig.postgres.start()
    return ""


async def backends_terminated(run: Run, random: Random, _scale: Scale) -> str:
    """End all the workers' sessions as an administrator would."""
    await some_jobs(run, random)
    await asyncio.sleep(random.uniform(0, 0.15))
    async with run.rig.eyes() as conn:
        ended = await conn.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name IN ('worker', 'worker-control')"
        )
    return f"{ended} sessions"


async def postgres_silent(run: Run, random: Random, scale: Scale) -> str:
    """Let PostgreSQL answer nothing to one worker, or to all, past their leases; what they did meanwhile is fenced."""
    await some_jobs(run, random, at_least=random.choice(("estimate", "long")))
    await asyncio.sleep(random.uniform(0, 0.15))
    members = random.choice((run.rig.staff.members, run.rig.staff.members[:1]))
    for member in members:
        member.gate.black_hole()
    try:
        await asyncio.sleep(max(scale.away_s, TIMING.lease_s * 2))
    finally:
        for member in members:
            member.gate.mend()
    return f"{len(members)} workers"


async def frozen_under_the_cap(run: Run, random: Random, _scale: Scale) -> str:
    """Freeze a claimer that holds the lock of capped claims, before its COMMIT: the others get on without it."""
    trap = Trap("claim_ai_jobs", Moment.COMMITTING)
    async with run.rig.capped(2):
        run.rig.staff.set_trap(trap)
        try:
            await some_jobs(run, random)
            async with asyncio.timeout(REACH_SECONDS):
                caught = run.rig.staff.members[await asyncio.shield(trap.caught)]
            caught.signal(signal.SIGSTOP)
            try:
                await run.settled()
            finally:
                caught.signal(signal.SIGCONT)
        finally:
            trap.decide(passes=True)
            run.rig.staff.set_trap(None)
    return ""


async def poison_job(run: Run, random: Random, _scale: Scale) -> str:
    """Queue a job that kills its worker every time; it must end as a dead letter."""
    await some_jobs(run, random)
    await run.enqueue("poison", random.randrange(len(run.visits)))
    return ""


async def cancel_races_finish(run: Run, random: Random, _scale: Scale) -> str:
    """Cancel each job at about the time when it finishes."""

    async def one(visit: int, job_type: str) -> None:
        job_id = await run.enqueue(job_type, visit)
        await asyncio.sleep(random.uniform(0, 0.3))
        await run.cancel(job_id)

    await asyncio.gather(*(one(visit, job_type) for visit in range(len(run.visits)) for job_type in ORDINARY))
    return f"{len(run.cancelled)} of {len(run.accepted)} cancelled"


async def redriven_twice(run: Run, random: Random, _scale: Scale) -> str:
    """Redrive one dead letter twice at once: one job comes of it."""
    await run.enqueue("doomed", 0)
    await some_jobs(run, random)
    await run.settled()
    dead = await run.dead_letters()
    for letter in dead:
        first, second = await asyncio.gather(run.redrive(letter), run.redrive(letter))
        assert first == second, f"two redrives of one row gave {first} and {second}"
    return f"{len(dead)} dead letters"


OTHERS: tuple[Fault, ...] = (
    *(kill_anywhere, freeze_anywhere, rolling_restart),
    *(redis_flushed, redis_killed, redis_down, redis_silent),
    *(postgres_crashed, postgres_silent, backends_terminated, frozen_under_the_cap),
    *(poison_job, cancel_races_finish, redriven_twice),
)
KINDS: Mapping[str, Fault] = {
    **{f"at {function}": partial(at_point, function=function) for function in POINTS},
    **{fault.__name__.replace("_", " "): fault for fault in OTHERS},
}
# A point has nine variants; the ones that take seconds are drawn less.
_SLOW = frozenset({"rolling restart", "redis down", "redis silent", "postgres silent", "frozen under the cap"})
WEIGHTS: Mapping[str, int] = {kind: 6 if kind.startswith("at ") else 1 if kind in _SLOW else 3 for kind in KINDS}


def kind_of(seed: int, number: int) -> str:
    """Return the kind of a seed's run: first each kind once in an order of the seed's, then drawn by weight."""
    if number < len(KINDS):
        return Random(seed).sample(list(KINDS), len(KINDS))[number]
    return Random(f"{seed}/{number}").choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
