"""The whole product, watched: its traces and analytics arrive at doubles, its processes tell one another's numbers."""

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.gateway.uploads.files.files import jpeg
from tests.product import Product, start_product
from tests.stack import QUEUE_KEY, Services, make_bucket, make_services, xdist_worker
from tests.telemetry.doubles import Inbox, inbox
from tests.tenants import Tenant

WAIT_SECONDS = 60.0


@pytest.fixture(scope="session")
def services(stack: Any, request: pytest.FixtureRequest) -> Services:
    """Give these suites a database of their own: what they count must not be another suite's."""
    services = asyncio.run(make_services(stack, f"ops{xdist_worker(request.config)}"))
    asyncio.run(make_bucket(services))
    return services


@dataclass(frozen=True)
class Watched:
    """The running product, and what it has sent."""

    product: Product
    traces: Inbox
    analytics: Inbox

    async def estimate(self, tenant: Tenant, **headers: str) -> UUID:
        """Upload a photo and have an estimate made, each by a request of its own; returns the visit."""
        async with httpx.AsyncClient(base_url=self.product.url, headers={**tenant.headers, **headers}) as client:
            opened = await client.post("/v1/visits", json={"title": "Kitchen", "notes": "Replace three GFCI outlets."})
            visit = f"/v1/visits/{opened.json()['id']}"
            sent = await client.post(f"{visit}/media", content=jpeg(), headers={"content-type": "image/jpeg"})
            assert sent.status_code == 201, sent.text
            asked = await client.post(f"{visit}/estimate")
            assert asked.status_code == 202, asked.text
            async with asyncio.timeout(WAIT_SECONDS):
                while (job := (await client.get(asked.headers["location"])).json())["finished_at"] is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)  # another process sends no signal
        assert job["status"] == "completed", job
        return UUID(opened.json()["id"])

    def scrape(self) -> str:
        """Read `/metrics` as Prometheus does."""
        answer = httpx.get(f"{self.product.url}/metrics", headers={"x-internal-key": QUEUE_KEY}, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.text


@pytest.fixture(scope="session")
def watched(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Run gateway and worker with everything on that looks at them, once per xdist worker."""
    with (
        inbox() as traces,
        inbox() as analytics,
        tempfile.TemporaryDirectory(prefix="sk-") as shared,
        start_product(
            services,
            tmp_path_factory.mktemp("watched"),
            OTLP_ENDPOINT=traces.url,
            ANALYTICS_URL=f"{analytics.url}/events",
            METRICS_DIR=shared,
        ) as product,
    ):
        yield Watched(product, traces, analytics)
