"""The lines of real processes: every one is JSON with the runbook's fields, and one id leads through all of them."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.telemetry.conftest import WAIT_SECONDS, Watched
from tests.tenants import Tenant

FIELDS = {"timestamp", "level", "message", "correlation_id", "function"}


def _lines(file: Path) -> list[dict[str, Any]]:
    written, _, _unfinished = file.read_text().rpartition("\n")
    return [json.loads(line) for line in written.splitlines()]


async def _told(watched: Watched, name: str, correlation_id: str, message: str, count: int) -> list[dict[str, Any]]:
    """Wait for lines of one request or job: they are written when its answer may be out already."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            lines = _lines(watched.product.logs / f"{name}.log")
            found = [line for line in lines if (line["correlation_id"], line["message"]) == (correlation_id, message)]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.05)


async def test_one_id_leads_from_the_phone_to_the_workers_last_line(watched: Watched, tenant: Tenant) -> None:
    """Sent with the requests; on the gateway's lines and on the worker's, which know visit, tenant, user and job."""
    phone = f"phone-{uuid4()}"
    visit_id = await watched.estimate(tenant, **{"x-correlation-id": phone})
    ids = {"tenant_id": str(tenant.id), "user_id": str(tenant.user_id), "visit_id": str(visit_id)}
    asked = await _told(watched, "gateway", phone, "Request", 4)  # visit, media, estimate, job
    routes = {line["metadata"]["route"] for line in asked if ids.items() <= line.items()}
    assert {"/v1/visits/{visit_id}/media", "/v1/visits/{visit_id}/estimate"} <= routes
    await _told(watched, "worker", phone, "Job completed", 1)
    worked = [line for line in _lines(watched.product.logs / "worker.log") if line["correlation_id"] == phone]
    assert "Job started" in {line["message"] for line in worked}
    assert all(ids.items() <= line.items() and "job_id" in line for line in worked)


async def test_every_line_is_json_whoever_wrote_it(watched: Watched, tenant: Tenant) -> None:
    """The libraries' too, from the first line on."""
    await watched.estimate(tenant)
    for name in ("gateway", "worker"):
        lines = _lines(watched.product.logs / f"{name}.log")
        assert lines
        for line in lines:
            assert set(line) >= FIELDS, line
            assert line["function"] == name
    told = {line["message"] for line in _lines(watched.product.logs / "gateway.log")}
    assert any("startup complete" in message for message in told)  # uvicorn's
