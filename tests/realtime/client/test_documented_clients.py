"""The clients of docs/reference/events.md, each run as it stands there, over connections that are cut."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from uuid import UUID

import pytest
from playwright.async_api import Browser
from starlette.responses import HTMLResponse

from store.pool import Database
from tests.browser.conftest import require
from tests.product import ROOT
from tests.realtime.client.strict_source import SECONDS
from tests.realtime.client.tab import cut_streams
from tests.realtime.stream_gateway import StreamGateway, make_visit, open_gateway, tell
from tests.stack import Services
from tests.support.servers.web import serve_in_thread
from tests.tenants import Tenant

PAGE = (ROOT / "docs" / "reference" / "events.md").read_text()
CLIENTS = dict(re.findall(r"```(javascript|python|bash)\n(.*?)```", PAGE[PAGE.index("## Clients") :], re.DOTALL))
IN_BROWSER = re.search(r"## Clients.*?```js\n(.*?)```", PAGE, re.DOTALL)
START = """([base, visit, token]) => {
    %s
    window.seqs = [];
    const onEvent = ({ seq, type }) => type !== "snapshot" && window.seqs.push(seq);
    window.ended = new Promise((onEnd) => follow(base, visit, token, onEvent, onEnd));
}"""


def command(language: str, directory: Path) -> list[str]:
    """Return how a client is run."""
    file = directory / f"client.{ {'javascript': 'mjs', 'python': 'py', 'bash': 'sh'}[language] }"
    file.write_text(CLIENTS[language])
    program = {"javascript": "node", "python": sys.executable, "bash": "bash"}[language]
    require(program, *(["curl"] if language == "bash" else []))
    return [program, str(file)]


async def open_streams(gateway: StreamGateway, count: int) -> None:
    """Wait until so many streams have been opened."""
    async with asyncio.timeout(SECONDS):
        while gateway.hub.stats()["opened"] < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def drive(gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID) -> None:
    """Tell seven events over three connections, of which two are cut."""
    for opened in (1, 2):
        await open_streams(gateway, opened)
        await tell(db, tenant, visit, *["step.progress"] * 2)
        cut_streams(gateway)
        await tell(db, tenant, visit, "step.started")
    await open_streams(gateway, 3)
    await tell(db, tenant, visit, "job.completed")


@pytest.fixture(autouse=True)
def quick_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have clients come back after a fifth of a second."""
    monkeypatch.setattr("realtime.hub.Hub.retry_ms", lambda _hub, _base=0: 200)


@pytest.mark.parametrize("language", ["javascript", "python", "bash"])
async def test_a_documented_client_misses_nothing(
    gateway: StreamGateway, db: Database, tenant: Tenant, tmp_path: Path, language: str
) -> None:
    """It prints each event once and in order, and ends with the job."""
    visit = await make_visit(db, tenant)
    own = {"URL": gateway.url, "TOKEN": tenant.token(), "VISIT": str(visit)}
    running = await asyncio.create_subprocess_exec(
        *command(language, tmp_path), env=os.environ | own, stdout=asyncio.subprocess.PIPE
    )
    await drive(gateway, db, tenant, visit)
    async with asyncio.timeout(SECONDS):
        printed, _ = await running.communicate()
    assert running.returncode == 0
    lines = [line.removeprefix("data: ") for line in printed.decode().splitlines()]
    events = [json.loads(line) for line in lines if line.startswith('{"visit_id"')]
    assert [event["seq"] for event in events if event["type"] != "snapshot"] == list(range(1, 8))


@pytest.mark.browser
async def test_the_documented_page_misses_nothing(
    services: Services, db: Database, tenant: Tenant, browser: Browser
) -> None:
    """On another origin, by ticket."""
    visit = await make_visit(db, tenant)
    assert IN_BROWSER is not None
    with serve_in_thread(HTMLResponse("<title>Another origin</title>")) as origin:
        async with open_gateway(services.settings(allowed_origins=origin)) as gateway:
            page = await browser.new_page()
            await page.goto(origin)
            await page.evaluate(START % IN_BROWSER[1], [gateway.url, str(visit), tenant.token()])
            await drive(gateway, db, tenant, visit)
            assert await page.evaluate("window.ended") == "completed"
            assert await page.evaluate("window.seqs") == list(range(1, 8))
            await page.close()


def test_each_client_fits_in_25_lines() -> None:
    """Short enough to be read at once."""
    assert sorted(CLIENTS) == ["bash", "javascript", "python"]
    assert all(len(text.splitlines()) <= 25 for text in CLIENTS.values())
