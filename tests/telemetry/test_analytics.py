"""The product's own event, as its receiver gets it."""

import asyncio
from typing import Any
from uuid import UUID

import orjson

from tests.telemetry.conftest import Watched
from tests.tenants import Tenant


async def test_an_estimate_is_told_to_the_receiver(watched: Watched, tenant: Tenant) -> None:
    """`estimate_generated` with exactly the runbook's properties, whose it is, and an id to know it again by."""
    visit_id = await watched.estimate(tenant)

    def of_visit(arrived: list[tuple[str, bytes]]) -> dict[str, Any] | None:
        told = [orjson.loads(body) for path, body in arrived if path == "/events"]
        return next((event for event in told if event["properties"]["visit_id"] == str(visit_id)), None)

    event = await asyncio.to_thread(watched.analytics.until, of_visit)
    assert set(event) == {"id", "event", "properties", "tenant_id", "user_id", "timestamp"}
    assert (event["event"], event["tenant_id"]) == ("estimate_generated", str(tenant.id))
    assert event["user_id"] == str(tenant.user_id)
    assert UUID(event["id"])
    names = {"visit_id", "processing_time_ms", "line_count", "evidence_count", "ai_model"}
    assert set(event["properties"]) == names
    assert event["properties"]["line_count"] >= 1
