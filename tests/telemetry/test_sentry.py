"""What leaves for Sentry when a process of ours fails: by its real SDK, over HTTP, to a double that keeps it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.product import free_port, process, wait_until_ready
from tests.stack import JWT_SECRET, QUEUE_KEY, Services, make_services, xdist_worker
from tests.telemetry.doubles import Inbox, inbox
from tests.tenants import Tenant

if TYPE_CHECKING:
    import asyncpg

SHARE_TOKEN = "AbCdEfGhIjKlMnOpQrStUvWx"
PHONE = "from-the-phone-77"


@pytest.fixture(scope="session")
def services(stack: Any, request: pytest.FixtureRequest) -> Services:
    """Give the failing worker a queue to itself: another suite's worker would do its job, and do it well."""
    return asyncio.run(make_services(stack, f"crash{xdist_worker(request.config)}"))


def _event_of(correlation_id: str) -> Callable[[list[tuple[str, bytes]]], dict[str, Any] | None]:
    """Find the error report of one request or job among the envelopes."""

    def find(arrived: list[tuple[str, bytes]]) -> dict[str, Any] | None:
        for _, envelope in arrived:
            for line in envelope.splitlines():
                item = json.loads(line) if line.startswith(b"{") else {}
                if item.get("tags", {}).get("correlation_id") == correlation_id and "exception" in item:
                    return dict(item)
        return None

    return find


def _require_no_secret(sentry: Inbox, *secrets: str) -> None:
    sent = b"\n".join(body for _, body in sentry.bodies).decode()
    for secret in ("hush", SHARE_TOKEN, JWT_SECRET, QUEUE_KEY, *secrets):
        assert secret not in sent, secret


async def test_a_request_that_fails_is_reported_without_its_secrets(
    services: Services, tenant: Tenant, tmp_path: Path
) -> None:
    """The caller's correlation id, the tenant and the function are on it; keys, cookies, tokens and URLs are not."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with inbox() as sentry:
        environment = services.environment(PORT=str(port), SENTRY_DSN=sentry.url.replace("//", "//public@") + "/7")
        with process("gateway", ["tests.telemetry.crashing", "gateway"], environment, tmp_path) as gateway:
            wait_until_ready(url, gateway, tmp_path / "gateway.log")
            async with httpx.AsyncClient(base_url=url) as client:
                answer = await client.post(
                    f"/v1/crash/e/{SHARE_TOKEN}?ticket=hush-ticket",
                    headers={
                        **tenant.headers,
                        "x-correlation-id": PHONE,
                        "cookie": "scopekit_session=hush-cookie",
                        "apikey": "hush-apikey",
                        "x-internal-key": QUEUE_KEY,
                        "x-label": "hush label",
                        "x-file-name": "hush file",
                        "upload-metadata": "filename aHVzaA==, label hush",
                    },
                    content=b'{"passcode": "hush-passcode"}',
                )
            assert (answer.status_code, answer.json()["correlation_id"]) == (500, PHONE)
            event = sentry.until(_event_of(PHONE))
        _require_no_secret(sentry, tenant.headers["authorization"].removeprefix("Bearer "))
    assert (event["tags"]["tenant_id"], event["tags"]["function"]) == (str(tenant.id), "gateway")
    assert event["exception"]["values"][-1]["type"] == "RuntimeError"
    assert "store.test/photo.jpg" in event["exception"]["values"][-1]["value"]


async def test_a_job_that_fails_is_reported_under_the_requests_id(
    services: Services, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant, tmp_path: Path
) -> None:
    """The worker's report carries what the phone sent with the request, and the worker's own name."""
    with inbox() as sentry:
        dsn = sentry.url.replace("//", "//public@") + "/7"
        environment = services.environment(FUNCTION_NAME="worker", SENTRY_DSN=dsn)
        await admin.execute(
            "WITH visit AS (INSERT INTO site_visits (tenant_id) VALUES ($1) RETURNING id) "
            "INSERT INTO ai_jobs (tenant_id, visit_id, job_type, correlation_id, max_attempts) "
            "SELECT $1, id, 'estimate', $2, 1 FROM visit",
            tenant.id,
            PHONE,
        )
        with process("worker", ["tests.telemetry.crashing", "worker"], environment, tmp_path):
            event = sentry.until(_event_of(PHONE))
        _require_no_secret(sentry)
    assert (event["tags"]["tenant_id"], event["tags"]["function"]) == (str(tenant.id), "worker")
    assert event["exception"]["values"][-1]["type"] == "RuntimeError"
    told = (tmp_path / "worker.log").read_text().splitlines()
    failed = [json.loads(line) for line in told if "Job attempt failed" in line]
    assert failed[0]["correlation_id"] == PHONE
    assert {"timestamp", "level", "tenant_id", "visit_id", "job_id", "function"} <= set(failed[0])
