"""The clients, and a gateway for them that asks nobody to wait long."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from config.settings import Settings
from store.pool import Database
from tests.browser.conftest import CHROMIUM, require
from tests.clients import clients
from tests.clients.heard import Heard
from tests.realtime.stream_gateway import StreamGateway, make_visit, open_gateway
from tests.support.loops import CheckedLoop
from tests.support.npm import install
from tests.tenants import Admin, Tenant

HERE = Path(__file__).parent

OpenAll = Callable[[StreamGateway, UUID, clients.Token], Awaitable[list[Heard]]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on the loop of production."""
    return {"uvloop": CheckedLoop}


class Soon(Random):
    """Chooses a tenth of the least: whoever is told to come back does so at once."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002 - the signature of Random's
        """Return a tenth of the lower end."""
        return a / 10


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[StreamGateway]:
    """Run the streams' part of the gateway."""
    async with open_gateway(settings, random=Soon()) as opened:
        yield opened


@pytest.fixture
async def visit(db: Database, tenant: Tenant) -> UUID:
    """Open a visit."""
    return await make_visit(db, tenant)


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the pinned packages, and put our scripts beside them."""
    return install(HERE, tmp_path_factory.mktemp("npm"))


@pytest.fixture
async def open_all(scripts: Path, admin: Admin) -> AsyncIterator[OpenAll]:
    """Open a stream with each of the four clients at once, each with a token made when it is ready to."""
    require(CHROMIUM)
    kinds = (
        partial(clients.browser, admin),
        clients.of_npm(scripts / "eventsource.mjs"),
        clients.of_npm(scripts / "fetch_event_source.mjs"),
        clients.httpx_sse,
    )
    async with AsyncExitStack() as opened:

        async def open_all(gateway: StreamGateway, visit: UUID, token: clients.Token) -> list[Heard]:
            url = f"{gateway.url}/v1/visits/{visit}/progress"
            return [await opened.enter_async_context(kind(url, token)) for kind in kinds]

        yield open_all
