"""What rotations are tried on: a database and a secrets file of their own, and gateways started by it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.product import free_port, process, wait_until_ready
from tests.stack import Services, make_services, xdist_worker


@pytest.fixture(scope="session")
def services(services: Services, request: pytest.FixtureRequest) -> Services:
    """Give these tests a database of their own: the product the other suites run there has its own keys."""
    own = asyncio.run(make_services(services.endpoints, f"rotation_{xdist_worker(request.config)}"))
    return replace(own, redis_url=services.redis_url, bucket=services.bucket)


@pytest.fixture
async def file(tmp_path: Path, admin: Any) -> AsyncIterator[Path]:
    """Give an empty secrets file; no rotation is open before and after."""
    await admin.execute("DELETE FROM secret_rotations; DELETE FROM processes")
    path = tmp_path / "secrets.env"
    path.touch()
    yield path
    await admin.execute("DELETE FROM secret_rotations")


@contextmanager
def gateway(services: Services, file: Path, logs: Path) -> Iterator[httpx.Client]:
    """Start a gateway with what the file holds now."""
    port = free_port()
    environment = services.environment(PORT=str(port), SECRETS_FILE=str(file))
    with process("gateway", ["gateway", "serve"], environment, logs) as running:
        wait_until_ready(f"http://127.0.0.1:{port}", running, logs / "gateway.log")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client


def text_of(path: Path) -> str:
    """Return what a file holds."""
    return path.read_text()
