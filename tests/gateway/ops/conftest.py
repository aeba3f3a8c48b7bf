"""An operator, and the tenants' people who are none."""

import pytest

from tests.tenants import Admin, Tenant, make_operator


@pytest.fixture
async def operator(admin: Admin, other_tenant: Tenant) -> Tenant:
    """Make an operator who is a member of another tenant."""
    return await make_operator(admin, other_tenant)
