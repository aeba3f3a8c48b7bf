"""An operator, and the tenants' people who are none."""

import pytest

from tests.tenants import Tenant, operator_of


@pytest.fixture
def operator(other_tenant: Tenant) -> Tenant:
    """Give a user of another tenant the operators' mark."""
    return operator_of(other_tenant)
