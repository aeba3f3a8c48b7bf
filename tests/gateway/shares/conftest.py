"""What every test of shares begins with: a visit with an estimate."""

import pytest

from store.pool import Database
from tests.gateway.shares.documents import Visit, make_visit
from tests.tenants import Tenant


@pytest.fixture
async def visit(service: Database, tenant: Tenant) -> Visit:
    """Make a visit with an estimate of one priced and one unpriced line."""
    return await make_visit(service, tenant)
