"""A gateway of a test's own, and a visit to watch."""

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import asyncpg
import pytest

from config.settings import Settings
from store.events import event_bus
from store.pool import Database
from tests.browser.conftest import browser
from tests.realtime.stream_gateway import StreamGateway, make_visit, open_gateway
from tests.stack import Services
from tests.support.loops import CheckedLoop
from tests.tenants import Tenant

__all__ = ["browser"]  # one Chromium fixture for all

BUS_IS_CLOSED = "SELECT coalesce(pg_sequence_last_value('scopekit.bus_transport'), 1) = 1"


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on the loop of production."""
    return {"uvloop": CheckedLoop}


@pytest.fixture
def writer() -> str:
    """Name how streams are written; a module that holds for both overrides this."""
    return "connection"


@pytest.fixture
def bus() -> str:
    """Name how events come; what holds for both ways is marked so (`gateway.BOTH`)."""
    return "notify"


@pytest.fixture
async def settings(services: Services, bus: str) -> AsyncIterator[Settings]:
    """Settings of a gateway; after one on the bus there is NOTIFY alone again, for whoever listens by himself."""
    yield services.settings(event_bus=bus)
    if bus == "redis":
        connection = await asyncpg.connect(services.admin_url)
        try:
            await event_bus.retire(connection)  # a crash may have done it already
            assert await connection.fetchval(BUS_IS_CLOSED)
        finally:
            await connection.close()


@pytest.fixture
async def gateway(settings: Settings, writer: str) -> AsyncIterator[StreamGateway]:
    """Run the streams' part of the gateway."""
    async with open_gateway(settings, writer=writer) as opened:
        yield opened


@pytest.fixture
async def visit(db: Database, tenant: Tenant) -> UUID:
    """Open a visit."""
    return await make_visit(db, tenant)
