"""A gateway of a test's own, and a visit to watch."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from config.settings import Settings
from store.pool import Database
from tests.realtime.house import House, make_visit, open_house
from tests.tenants import Tenant


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    """Run the streams' part of the gateway."""
    async with open_house(settings) as opened:
        yield opened


@pytest.fixture
async def visit(db: Database, tenant: Tenant) -> UUID:
    """Open a visit."""
    return await make_visit(db, tenant)
