"""An operator, and the tenants' people who are none."""

from dataclasses import replace

import pytest

from tests.tenants import Tenant


@pytest.fixture
def operator(other_tenant: Tenant) -> Tenant:
    """Give a user of another tenant the operators' mark."""
    metadata = {"tenant_id": str(other_tenant.id), "role": "member", "platform_role": "admin"}
    return replace(other_tenant, role="member", claims=other_tenant.claims | {"app_metadata": metadata})
