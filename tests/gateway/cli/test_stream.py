"""`scopekit stream`, as a person at a terminal runs it."""

import asyncio
import json
import sys
from uuid import UUID, uuid4

from store.pool import Database
from tests.product import ROOT
from tests.realtime.client.strict_source import SECONDS
from tests.realtime.stream_gateway import make_visit, tell
from tests.stack import Services
from tests.support.command import scopekit
from tests.tenants import Tenant


async def _run(services: Services, visit: UUID, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "stream", str(visit), *options),
        cwd=ROOT,
        env=services.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_it_follows_until_the_end(services: Services, db: Database, tenant: Tenant) -> None:
    """What was there comes first, what happens follows, and the job's end ends it."""
    visit = await make_visit(db, tenant)
    await tell(db, tenant, visit, "job.queued")
    running = await _run(services, visit)
    assert running.stdout is not None
    async with asyncio.timeout(SECONDS):
        first = await running.stdout.readline()
        await tell(db, tenant, visit, "step.progress", "job.completed")
        rest = await running.stdout.read()
        assert await running.wait() == 0
    lines = [first.decode(), *rest.decode().splitlines()]
    assert [line.split()[1:3] for line in lines] == [
        *(["#1", "job.queued"], ["#2", "step.progress"], ["#3", "job.completed"]),
    ]
    assert "done=1 item=kitchen.jpg step=look total=4" in lines[1]


async def test_it_shows_what_there_is_as_json(services: Services, db: Database, tenant: Tenant) -> None:
    """`--no-follow` waits for nothing, and `--after` leaves out what was seen."""
    visit = await make_visit(db, tenant)
    await tell(db, tenant, visit, "step.started", "step.progress", "step.completed")
    running = await _run(services, visit, "--no-follow", "--after", "1", "--json")
    async with asyncio.timeout(SECONDS):
        out, _ = await running.communicate()
    assert [json.loads(line)["seq"] for line in out.decode().splitlines()] == [2, 3]


def test_an_unknown_visit_is_told(services: Services) -> None:
    """It ends at once, with the exit code of what is not there."""
    done = scopekit(services, "stream", str(uuid4()))
    assert (done.returncode, done.stderr.strip()) == (3, "There is no such visit.")
