"""The deploy page's SQL does what it is there for."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from config.flags import Flag, is_on

if TYPE_CHECKING:
    import asyncpg

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "deploy.md"


@pytest.mark.parametrize("before", [None, {}, {"visits": {"beta": True, "enabled": False}, "other": 1}])
async def test_its_statement_turns_a_tenant_on(
    admin: "asyncpg.Connection[asyncpg.Record]", before: dict[str, object] | None
) -> None:
    """Every flag is on afterwards, from no settings at all too, and what else was set stays."""
    tenant = uuid4()
    await admin.execute("INSERT INTO tenants (id, name) VALUES ($1, 'T')", tenant)
    if before is not None:
        settings = "INSERT INTO tenant_settings (tenant_id, feature_flags) VALUES ($1, $2::text::jsonb)"
        await admin.execute(settings, tenant, json.dumps(before))
    (statement,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    await admin.execute(statement.replace("TENANT", str(tenant)))
    text = await admin.fetchval("SELECT feature_flags::text FROM tenant_settings WHERE tenant_id = $1", tenant)
    flags = json.loads(text)
    assert all(is_on(flags, flag) for flag in Flag)
    if before:
        assert (flags["visits"]["beta"], flags["other"]) == (True, 1)
